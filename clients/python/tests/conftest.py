"""What tests share: one real gate, clients of it, and a clip made by ffmpeg.

Prints a line in the form of `cargo test` at the end, which `cargo xtask test` adds up.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gate import Gate
from relay import Fault, Relay

from postern_client import Client, Retries, ServerError, jobs
from postern_client.retry import OPERATOR_CODES

# Two seconds of a moving test picture.
FRAMES = 20
# Pauses that a test can sit out.
QUICK = Retries(first_pause_s=0.01, pause_max_s=0.05, patience_s=20.0)


@pytest.fixture(scope="session", autouse=True)
def _hears_ctrl_c() -> None:
    # A shell's background job, such as a CI's, starts with SIGINT ignored, and Python keeps that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def client(gate: Gate) -> Iterator[Client]:
    with Client(gate.url, gate.key, retries=QUICK) as client:
        yield client


class Damage:
    """Makes relays to the gate, and clients behind them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: list[Relay | Client] = []

    def behind(self, *faults: Fault, retries: Retries = QUICK) -> tuple[Client, Relay]:
        relay = Relay.to(self._gate.address, *faults)
        client = Client(relay.url, self._gate.key, retries=retries)
        self._open += [client, relay]
        return client, relay

    def close(self) -> None:
        for one in self._open:
            one.close()


@pytest.fixture
def damage(gate: Gate) -> Iterator[Damage]:
    damage = Damage(gate)
    yield damage
    damage.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc2=size=160x120:rate=10:duration={FRAMES // 10}"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source, *coded], check=True)
    return path


def needs_route(client: Client, path: str) -> None:
    """Skip, with the reason, where the gate under test has no such route."""
    document = client._run(jobs.fetched(client._core, "/openapi.json"))
    if path not in document["paths"]:
        pytest.skip(f"the gate under test has no {path}")


def is_installed(client: Client, weights: str) -> bool:
    """Tell whether these weights are there."""
    of_services = (service.get("weights", ()) for service in client.models()["data"])
    states = {one["model"]: one["state"] for all_ in of_services for one in all_}
    return bool(states[weights] != "missing")


def assert_needs_operator(error: ServerError) -> None:
    """Check the refusal of a service whose model or weights are not installed."""
    assert error.status == 503
    assert error.code in OPERATOR_CODES
    assert error.problem.detail


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's own gate, key and proxies out."""
    for name in ("POSTERN_URL", "POSTERN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    def count(*kinds: str) -> int:
        return sum(len(terminalreporter.stats.get(kind, ())) for kind in kinds)

    passed, failed, skipped = count("passed"), count("failed", "error"), count("skipped")
    word = "FAILED" if failed else "ok"
    line = f"test result: {word}. {passed} passed; {failed} failed; {skipped} ignored"
    terminalreporter.write_line(line)
