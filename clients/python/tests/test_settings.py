"""Where the gate is and who asks: arguments, environment, and what cannot be right."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from gate import REPOSITORY

from postern_client import AsyncClient, Client, Code, ConfigError, aio, client
from postern_client.body import fields_of


def base_url(**arguments: Any) -> str:
    with Client(**arguments) as made:
        return made._core.settings.base_url


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_url() == "http://127.0.0.1:8080"
    monkeypatch.setenv("POSTERN_URL", "http://gate:1/mount/")
    assert base_url() == "http://gate:1/mount"
    assert base_url(url="https://other") == "https://other"


@pytest.mark.parametrize(
    "url",
    ["gate:8080", "ftp://gate", "http://", "http://gate?a=1", "http://gate#a", "http://gate:x"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Client(url)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Client("http://user:secret@gate")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "ä", "x" * 40_000])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client("http://gate", key)
    assert key not in str(caught.value)


def test_both_clients_have_the_same_methods() -> None:
    pairs = [(Client, AsyncClient)]
    pairs += [
        (getattr(client, name), getattr(aio, f"Async{name}"))
        for name in ("Job", "Jobs", "Vision", "Align", "Sharp")
    ]
    for sync, other in pairs:
        ours, theirs = methods(sync), methods(other)
        assert ours.keys() == theirs.keys(), sync
        for name in ours:
            assert ours[name] == theirs[name], f"{sync.__name__}.{name}"


def methods(kind: type) -> dict[str, str]:
    renamed = {"aclose": "close"}
    found = inspect.getmembers(kind, inspect.isfunction)
    public = {renamed.get(name, name): value for name, value in found if not name.startswith("_")}
    return {
        name: str(inspect.signature(value)).replace("Async", "") for name, value in public.items()
    }


def test_every_code_is_one_that_the_gate_documents() -> None:
    text = (REPOSITORY / "docs/problems.md").read_text()
    documented = {code for row in re.findall(r"(?m)^\| (`.+?) \|", text) for code in _codes(row)}
    missing = {code.value for code in Code} - documented
    assert not missing


def _codes(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def test_parameters_become_fields_as_the_gate_reads_them() -> None:
    params = {"a": {"low": 1.5, "deep": {"on": True}}, "list": ["x"], "word": "ä", "no": None}
    want = {"a.low": "1.5", "a.deep.on": "true", "list": '["x"]', "word": "ä"}
    assert fields_of(params) == want
