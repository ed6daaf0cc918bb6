"""A gate that is busy, away or cut off, and a client that gets through or says why not."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from pathlib import Path

import pytest
from conftest import QUICK, Damage
from gate import Gate
from relay import Fault, Relay, answer

from postern_client import (
    ApiError,
    AsyncClient,
    AuthError,
    BadAnswerError,
    Client,
    Code,
    LostAnswerError,
    RateLimitedError,
    Retries,
    ServerError,
    Timeouts,
    UnreachableError,
)

IMPATIENT = Retries(patience_s=0)
# The same pauses, and no second job when an answer is lost.
CAREFUL = Retries(first_pause_s=0.01, pause_max_s=0.05, patience_s=20.0, resend_lost=False)
ECHO = "POST /v1/echo"


def problem(code: str, status: int) -> str:
    return f'{{"code":"{code}","status":{status},"detail":"told","title":"","request_id":"req_1"}}'


def keys(heads: list[str]) -> set[str]:
    return {key for head in heads for key in re.findall(r"(?im)^idempotency-key: (\S+)", head)}


@pytest.mark.parametrize(
    "told",
    [
        answer(429, "retry-after: 0", body=problem("rate_limited", 429)),
        answer(503, "retry-after: 0", body=problem("queue_full", 503)),
        answer(503, body=problem("sidecar_unavailable", 503)),
        answer(502, "content-type: text/html", body="<h1>Bad Gateway</h1>"),
        answer(504),
    ],
    ids=["429", "queue_full", "cold", "502", "504"],
)
def test_what_may_pass_is_tried_again(damage: Damage, told: bytes) -> None:
    client, relay = damage.behind(Fault(ECHO, told), Fault(ECHO, told))
    assert client.call("/v1/echo", {"message": "a"})["message"] == "a"
    heads = relay.asked(ECHO)
    assert len(heads) == 3
    assert "user-agent: postern-client/" in heads[0].lower()
    assert len(keys(heads)) == 1, "tries of one request have one key"


def test_requests_have_keys_of_their_own(damage: Damage) -> None:
    client, relay = damage.behind()
    client.call("/v1/echo", {"message": 1})
    client.call("/v1/echo", {"message": 1})
    assert len(keys(relay.asked(ECHO))) == 2


def test_an_upload_that_broke_is_sent_again_from_its_beginning(damage: Damage, clip: Path) -> None:
    told = answer(503, "retry-after: 0", body=problem("queue_full", 503))
    client, relay = damage.behind(Fault("POST /v1/vision", refuse=True), Fault("/v1/vision", told))
    analysis = client.vision.analyze(clip, params={"outputs": []})
    assert len(analysis.frames) == 20
    assert len(relay.asked("POST /v1/vision")) == 3


def test_a_lost_answer_is_asked_for_again_with_the_same_key(damage: Damage) -> None:
    client, relay = damage.behind(Fault(ECHO, cut_bytes=0))
    assert client.call("/v1/echo", {"message": "lost"})["message"] == "lost"
    assert len(relay.asked(ECHO)) == 2
    assert len(keys(relay.asked(ECHO))) == 1


@pytest.mark.parametrize("fault", [Fault(ECHO, cut_bytes=9), Fault(ECHO, answer(504))])
def test_a_careful_client_sends_nothing_twice(damage: Damage, fault: Fault) -> None:
    client, relay = damage.behind(fault, retries=CAREFUL)
    with pytest.raises(LostAnswerError, match="look among your jobs"):
        client.call("/v1/echo", {"message": "careful"})
    assert len(relay.asked(ECHO)) == 1


def test_a_careful_client_tries_again_what_cannot_have_arrived(damage: Damage) -> None:
    told = answer(429, "retry-after: 0", body=problem("rate_limited", 429))
    client, relay = damage.behind(Fault(ECHO, told), retries=CAREFUL)
    client.call("/v1/echo", {"message": "again"})
    assert len(relay.asked(ECHO)) == 2


def test_a_pause_that_is_too_long_is_not_begun(damage: Damage) -> None:
    told = answer(429, "retry-after: 3600", body=problem("quota_exhausted", 429))
    client, relay = damage.behind(Fault(ECHO, told))
    with pytest.raises(RateLimitedError) as caught:
        client.call("/v1/echo", {})
    assert caught.value.code == Code.QUOTA_EXHAUSTED
    assert caught.value.problem.retry_after_s == 3600
    assert len(relay.asked(ECHO)) == 1


def test_what_the_operator_has_to_install_is_not_waited_for(damage: Damage) -> None:
    told = answer(503, body=problem("pipeline_unavailable", 503))
    client, relay = damage.behind(Fault(ECHO, told))
    with pytest.raises(ServerError) as caught:
        client.call("/v1/echo", {})
    assert caught.value.code == Code.PIPELINE_UNAVAILABLE
    assert len(relay.asked(ECHO)) == 1


def test_the_limit_of_a_real_plan_is_waited_out(gate: Gate) -> None:
    with Client(gate.url, gate.narrow_key, retries=IMPATIENT) as client:
        with pytest.raises(RateLimitedError) as caught:
            _ask_often(client)
        assert caught.value.code == Code.RATE_LIMITED
        assert (caught.value.problem.retry_after_s or 0) >= 1
    relay = Relay.to(gate.address)
    with Client(relay.url, gate.narrow_key, retries=QUICK) as client:
        for _ in range(3):
            client.models()
    assert len(relay.asked("/v1/models")) > 3, "at least one was refused and came back"
    relay.close()


def _ask_often(client: Client) -> None:
    for _ in range(20):
        client.models()


def test_the_async_client_gets_through_as_well(gate: Gate) -> None:
    told = answer(503, "retry-after: 0", body=problem("overloaded", 503))
    relay = Relay.to(gate.address, Fault(ECHO, told), Fault(ECHO, cut_bytes=0))

    async def run() -> object:
        async with AsyncClient(relay.url, gate.key, retries=QUICK) as client:
            return await client.call("/v1/echo", {"message": "async"})

    answered = asyncio.run(run())
    assert isinstance(answered, dict)
    assert answered["message"] == "async"
    assert len(relay.asked(ECHO)) == 3
    relay.close()


def test_a_gate_that_is_not_there_is_said(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", gate.key, retries=IMPATIENT) as client,
        pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"),
    ):
        client.models()


def test_a_gate_that_keeps_silent_is_given_up(gate: Gate) -> None:
    times = Timeouts(answer_s=0.1, accept_s=0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            Client(url, gate.key, timeouts=times, retries=IMPATIENT) as client,
            pytest.raises(UnreachableError),
        ):
            client.models()


def test_a_wrong_key_is_refused_and_shown_nowhere(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = f"sk_{'0' * 16}_{'1' * 64}"
    with Client(gate.url, wrong, retries=QUICK) as client:
        with pytest.raises(AuthError) as caught:
            client.models()
        assert (caught.value.status, caught.value.code) == (401, "key_unknown")
        everything = f"{client!r} {vars(client)!r} {client._core!r} {caught.value!r} {caplog.text}"
    assert wrong not in everything
    assert "1" * 64 not in everything
    with Client(gate.url) as nobody, pytest.raises(AuthError) as caught:
        nobody.models()
    assert caught.value.code == Code.CREDENTIAL_MISSING


def test_a_redirect_is_not_followed_with_the_key(damage: Damage) -> None:
    elsewhere, _ = damage.behind(Fault("/v1/models", answer(302, "location: http://127.0.0.1:9/")))
    with pytest.raises(BadAnswerError, match="302"):
        elsewhere.models()


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/v1/jobs/a", "//127.0.0.1:9/", "jobs/a"])
def test_a_job_elsewhere_is_not_followed_with_the_key(damage: Damage, location: str) -> None:
    client, relay = damage.behind(Fault(ECHO, answer(202, f"location: {location}", body="{}")))
    with pytest.raises(BadAnswerError, match="no path of the gate"):
        client.call("/v1/echo", {})
    assert len(relay.heads) == 1


@pytest.mark.parametrize("body", ["", "not JSON", "[1]", '{"state": 1, "id": 2}'])
def test_what_is_no_gate_is_told_from_one(damage: Damage, body: str) -> None:
    client, _ = damage.behind(Fault(ECHO, answer(200, body=body)))
    with pytest.raises(BadAnswerError):
        client.call("/v1/echo", {})


def test_a_refusal_for_good_is_not_tried_again(damage: Damage) -> None:
    client, relay = damage.behind()
    with pytest.raises(ApiError) as caught:
        client.call("/v1/echo", {"delay_ms": -1})
    assert (caught.value.status, caught.value.problem.field) == (422, "delay_ms")
    assert len(relay.asked(ECHO)) == 1


def test_a_body_that_is_too_large_is_refused_with_its_code(client: Client) -> None:
    # The gate answers while the body is still on its way.
    with pytest.raises(ApiError) as caught:
        client.call("/v1/echo", {"message": "x" * (8 << 20)})
    assert (caught.value.status, caught.value.code) == (413, Code.BODY_TOO_LARGE)
