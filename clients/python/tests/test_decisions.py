"""The decisions, without a wire: flows are given replies, and a clock that only pauses move."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Optional, TypeVar, Union

import pytest
from recorded import job

from postern_client import (
    ApiError,
    ConfigError,
    JobFailedError,
    JobTimeoutError,
    Problem,
    Retries,
    Timeouts,
    UnreachableError,
)
from postern_client.flow import BrokenError, Core, Flow, Pause, Reply, Send, asked
from postern_client.jobs import JobInfo, followed
from postern_client.retry import Patience, retry_after_s
from postern_client.settings import Settings

T = TypeVar("T")
Event = Union[Reply, BrokenError]


class Table:
    """Answers a flow's sends in order and keeps the pauses; time passes only in them."""

    def __init__(
        self, *events: Event, retries: Optional[Retries] = None, times: Optional[Timeouts] = None
    ) -> None:
        self.pauses: list[float] = []
        self._events = list(events)
        self._now_s = 0.0
        retries = retries or Retries(jitter=0.0, first_pause_s=1.0, pause_max_s=4.0)
        settings = Settings.read("http://gate", "", times, retries)
        self.core = Core(settings, lambda: self._now_s, lambda: 0.5, lambda: "id")

    def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self._now_s += step.seconds
                    step = flow.send(None)
                    continue
                event = self._events.pop(0) if len(self._events) > 1 else self._events[0]
                step = flow.throw(event) if isinstance(event, BrokenError) else flow.send(event)
        except StopIteration as end:
            result: T = end.value
            return result


def reply(status: int, value: Any = None, headers: Optional[Mapping[str, str]] = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(value if value is not None else {}).encode())


def state(name: str, **more: Any) -> Reply:
    return reply(200, job("sharp", name, **more))


ASK = Send("GET", "/v1/models", 1.0)


def test_pauses_double_to_their_bound_and_end_with_the_patience() -> None:
    table = Table(reply(503))
    with pytest.raises(ApiError):
        table.run(asked(table.core, ASK))
    assert table.pauses[:4] == [1, 2, 4, 4]
    assert sum(table.pauses) <= 120 < sum(table.pauses) + 4


def test_retry_after_wins_over_a_shorter_pause() -> None:
    table = Table(reply(429, headers={"retry-after": "7"}), reply(200))
    table.run(asked(table.core, ASK))
    assert table.pauses == [7]


def test_chance_makes_pauses_longer_and_never_shorter() -> None:
    patience = Patience(Retries(first_pause_s=2.0, jitter=0.5), lambda: 0.5)
    assert patience.pause_s(UnreachableError("x")) == 2.5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 507])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    table = Table(reply(status))
    with pytest.raises(ApiError):
        table.run(asked(table.core, ASK))
    assert table.pauses == []


def test_a_cold_start_does_not_count_against_the_run() -> None:
    times = Timeouts(start_s=600, run_s=10)
    waiting = [state("queued")] * 40 + [state("loading")] * 60
    table = Table(*waiting, state("running"), state("running"), state("succeeded"), times=times)
    assert table.run(followed(table.core, "/v1/jobs/job_1")).state == "succeeded"
    assert 300 < sum(table.pauses) < 600


@pytest.mark.parametrize(
    ("stuck", "phase", "limit_s"), [("loading", "start", 600), ("running", "run", 10)]
)
def test_each_phase_has_its_own_limit(stuck: str, phase: str, limit_s: float) -> None:
    table = Table(state(stuck), times=Timeouts(start_s=600, run_s=10))
    with pytest.raises(JobTimeoutError) as caught:
        table.run(followed(table.core, "/v1/jobs/job_1"))
    assert (caught.value.phase, caught.value.waited_s) == (phase, limit_s)
    assert sum(table.pauses) == pytest.approx(limit_s)
    assert isinstance(caught.value, TimeoutError)


def test_a_timeout_of_the_caller_is_for_the_whole_wait() -> None:
    table = Table(state("queued"), state("running"))
    with pytest.raises(JobTimeoutError):
        table.run(followed(table.core, "/v1/jobs/job_1", None, 3.0))
    assert sum(table.pauses) == pytest.approx(3.0)


def test_looks_at_a_job_keep_the_pause_that_the_gate_asks_for() -> None:
    slow = reply(200, job("sharp", "running"), {"retry-after": "3"})
    table = Table(slow, slow, state("succeeded"))
    table.run(followed(table.core, "/v1/jobs/job_1"))
    assert table.pauses == [3, 3]


def test_a_broken_look_is_no_broken_job() -> None:
    broken = BrokenError("reset", all_sent=True)
    table = Table(state("running"), broken, broken, state("succeeded"))
    assert table.run(followed(table.core, "/v1/jobs/job_1")).state == "succeeded"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Sat, 21 Nov 2026 20:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 19:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("1e9", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: Optional[str], want: Optional[float]) -> None:
    now = datetime(2026, 11, 21, 20, 0, 0, tzinfo=timezone.utc)
    assert retry_after_s(text, now) == want


@pytest.mark.parametrize(
    "wrong",
    [
        {"patience_s": -1.0},
        {"first_pause_s": float("nan")},
        {"pause_max_s": float("inf")},
        {"jitter": 1.5},
    ],
)
def test_retries_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Retries(**wrong)  # type: ignore[arg-type]


def test_timeouts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="run_s"):
        Timeouts(run_s=0)


def test_exceptions_survive_a_process_pool() -> None:
    problem = Problem("field_invalid", 422, "must be at least 0", field="canny.low")
    info = JobInfo.of_json(job("vision", "failed"))
    for error in (
        ApiError(problem),
        JobFailedError(info, problem),
        JobTimeoutError(info, "run", 9),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert str(ApiError(problem)) == "422 field_invalid: canny.low: must be at least 0"
