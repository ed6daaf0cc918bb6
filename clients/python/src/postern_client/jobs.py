"""Jobs: what the gate keeps of every run, and the flows that submit, follow and end one.

Owns the reading of a job and the patience with it. Knows no service. Always: an accepted job is
followed through broken connections; a timeout here leaves the job alone and says where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union
from urllib.parse import quote, urlencode

from postern_client.body import Body, FileLike, Form, Json, Params, fields_of, given
from postern_client.errors import (
    ApiError,
    BadAnswerError,
    JobCanceledError,
    JobFailedError,
    JobTimeoutError,
    Problem,
)
from postern_client.flow import LOG, BrokenError, Core, Flow, Pause, Reply, Send, asked, send

# States that never change.
FINAL_STATES = frozenset({"succeeded", "failed", "canceled", "expired"})
# Pauses between two looks at a job, seconds; the gate's own Retry-After wins.
LOOK_FIRST_S, LOOK_MAX_S = 0.2, 5.0
# How long a request waits at the gate for a short job, seconds: far below what proxies cut.
GATE_WAIT_S = 10
# Jobs that the gate lists at once.
PAGE_MAX = 200
# For the answer to a cancel at Ctrl-C, seconds.
ABANDON_S = 5.0
# Asks for the job at once.
AT_ONCE = "respond-async"


@dataclass(frozen=True)
class Progress:
    """How far a job is. `fraction` from 0 to 1; `queue_position` counts the jobs before it."""

    stage: str = ""
    detail: str = ""
    fraction: float = 0.0
    queue_position: Optional[int] = None


@dataclass(frozen=True)
class Output:
    """A file that a job made. `url` is a path of the gate."""

    name: str
    bytes: int
    media_type: str
    url: str


@dataclass(frozen=True)
class JobInfo:
    """What was known of a job when it was looked at.

    `state` is `queued`, `loading`, `running`, or final: `succeeded`, `failed`, `canceled`,
    `expired`. `result` is the service's own. `timings` has `queue_ms`, `run_ms` and `total_ms`,
    milliseconds. `raw` is everything, as the gate sent it.
    """

    id: str
    service: str
    state: str
    progress: Progress
    outputs: tuple[Output, ...]
    result: Any
    error: Optional[Problem]
    device: Optional[str]
    timings: Mapping[str, Optional[int]]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def is_final(self) -> bool:
        """Tell whether the job will never change again."""
        return self.state in FINAL_STATES

    @property
    def path(self) -> str:
        """Its path at the gate."""
        return job_path(self.id)

    def output(self, name: str) -> Output:
        """Find an output by its name; raises `KeyError` with the names that there are."""
        for output in self.outputs:
            if output.name == name:
                return output
        names = ", ".join(output.name for output in self.outputs) or "none"
        raise KeyError(f"{self.id} has no output {name!r}; it has {names}")

    @classmethod
    def of_json(cls, value: Any) -> JobInfo:
        """Read a job; raises `BadAnswerError` for what is none."""
        try:
            progress = value.get("progress") or {}
            error = value.get("error")
            return cls(
                id=_text(value["id"]),
                service=_text(value["service"]),
                state=_text(value["state"]),
                progress=Progress(
                    stage=progress.get("stage") or "",
                    detail=progress.get("detail") or "",
                    fraction=float(progress.get("fraction") or 0.0),
                    queue_position=progress.get("queue_position"),
                ),
                outputs=tuple(
                    Output(
                        _text(output["name"]),
                        int(output["bytes"]),
                        _text(output["media_type"]),
                        own_path(_text(output["url"])),
                    )
                    for output in value.get("outputs") or ()
                ),
                result=value.get("result"),
                error=Problem.of_json(error, 500) if error else None,
                device=value.get("device"),
                timings=value.get("timings") or {},
                raw=value,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(f"this is no job ({error!r})") from None


OnProgress = Callable[[JobInfo], None]


@dataclass(frozen=True)
class Accepted:
    """What a request came to.

    `job` is the job where the answer shows it, `path` where it is. `is_result` says that `answer`
    is the service's result itself, with the job at most named beside it.
    """

    answer: Mapping[str, Any]
    is_result: bool
    path: Optional[str]
    job: Optional[JobInfo]


def body_of(params: Params, files: Sequence[tuple[str, FileLike]]) -> Body:
    """Choose the form of a request: JSON without files, else a form."""
    wanted = given(params)
    return Form(fields_of(wanted), tuple(files)) if files else Json.of(wanted)


def submit(core: Core, path: str, body: Body, *, wait_s: int = 0) -> Flow[Accepted]:
    """Send a request to a service; it waits `wait_s` seconds at the gate for a short job."""
    times, retries = core.settings.timeouts, core.settings.retries
    headers = {
        "prefer": f"wait={wait_s}" if wait_s else AT_ONCE,
        "idempotency-key": core.new_id(),
    }
    request = Send("POST", own_path(path), times.accept_s + wait_s, headers, body)
    reply = yield from asked(core, request, repeatable=retries.resend_lost)
    return _accepted(reply)


def _accepted(reply: Reply) -> Accepted:
    answer = reply.object()
    job = JobInfo.of_json(answer) if "state" in answer and "id" in answer else None
    location, named = reply.headers.get("location"), answer.get("job")
    path: Optional[str] = None
    if location is not None:
        path = own_path(location)
    elif job is not None:
        path = job.path
    elif isinstance(named, str):
        path = job_path(named)
    is_later = reply.status == 202
    if is_later and path is None:
        raise BadAnswerError("the gate took the request and does not say which job it is")
    return Accepted(answer, job is None and not is_later, path, job)


def submitted(core: Core, path: str, body: Body) -> Flow[JobInfo]:
    """Submit without waiting, and give the job."""
    accepted = yield from submit(core, path, body)
    if accepted.job is not None:
        return accepted.job
    if accepted.path is None:
        raise BadAnswerError(f"{path} answered without a job")
    return (yield from looked(core, accepted.path))


def answered(
    core: Core, path: str, body: Body, on_progress: Optional[OnProgress]
) -> Flow[tuple[Any, Optional[JobInfo]]]:
    """Submit, wait for the end, and give the service's result, and the job where there is one.

    A short job is waited for at the gate, in the same request; with `on_progress` it is looked at
    instead. Ctrl-C, or the end of an asyncio task, cancels a job that is known.
    """
    accepted = yield from submit(core, path, body, wait_s=0 if on_progress else GATE_WAIT_S)
    if accepted.is_result:
        return accepted.answer, None
    job = accepted.job
    if job is None or not job.is_final:
        job_at = accepted.path or ""
        try:
            job = yield from followed(core, job_at, on_progress)
        except BaseException as reason:
            # Ctrl-C or a cancelled task: nobody else knows of the job, and it costs its tenant.
            if not isinstance(reason, (Exception, GeneratorExit)):
                yield from _abandoned(core, job_at)
            raise
    elif on_progress is not None:
        on_progress(job)
    return succeeded(job).result, job


def _abandoned(core: Core, path: str) -> Flow[None]:
    """Ask a job to stop, once, because its caller is waiting to end."""
    try:
        reply = yield from send(Send("POST", f"{path}/cancel", ABANDON_S))
    except BrokenError as broken:
        LOG.warning("%s may run on: %s", path, broken.reason)
    else:
        LOG.info("%s was asked to stop: %s", path, reply.status)


def looked(core: Core, path: str) -> Flow[JobInfo]:
    """Look at a job once."""
    job, _ = yield from _look(core, path)
    return job


def _look(core: Core, path: str) -> Flow[tuple[JobInfo, float]]:
    request = Send("GET", path, core.settings.timeouts.answer_s)
    reply = yield from asked(core, request)
    return JobInfo.of_json(reply.object()), reply.retry_after_s() or 0.0


def followed(
    core: Core,
    path: str,
    on_progress: Optional[OnProgress] = None,
    timeout_s: Optional[float] = None,
) -> Flow[JobInfo]:
    """Wait for a job's final state, whichever it is.

    `timeout_s` is for the whole wait; without it start and run have those of `Timeouts`.
    """
    times = core.settings.timeouts
    phase, limit_s, began_s = "start", times.start_s, core.now_s()
    if timeout_s is not None:
        limit_s = timeout_s
    pause_s = LOOK_FIRST_S
    while True:
        job, asked_s = yield from _look(core, path)
        if on_progress is not None:
            on_progress(job)
        if job.is_final:
            return job
        if job.state == "running" and phase == "start":
            phase, pause_s = "run", LOOK_FIRST_S
            if timeout_s is None:
                limit_s, began_s = times.run_s, core.now_s()
        left_s = began_s + limit_s - core.now_s()
        if left_s <= 0:
            raise JobTimeoutError(job, phase, limit_s)
        yield Pause(min(max(pause_s, asked_s), left_s))
        pause_s = min(pause_s * 1.5, LOOK_MAX_S)


def succeeded(job: JobInfo) -> JobInfo:
    """Give the job back; raises `JobFailedError` or `JobCanceledError` when it did not succeed."""
    if job.state == "succeeded":
        return job
    if job.state == "canceled":
        raise JobCanceledError(job)
    unknown = Problem(f"job_{job.state}", 500, f"the job is {job.state}")
    raise JobFailedError(job, job.error or unknown)


def completed(
    core: Core, path: str, on_progress: Optional[OnProgress], timeout_s: Optional[float]
) -> Flow[JobInfo]:
    """Wait for a job's success."""
    return succeeded((yield from followed(core, path, on_progress, timeout_s)))


def canceled(core: Core, path: str) -> Flow[JobInfo]:
    """Ask a job to stop. Idempotent: one that is final stays as it is."""
    request = Send("POST", f"{path}/cancel", core.settings.timeouts.answer_s)
    reply = yield from asked(core, request)
    return JobInfo.of_json(reply.object())


def deleted(core: Core, path: str) -> Flow[None]:
    """Delete a final job and its outputs. One that is gone already is no fault."""
    try:
        yield from asked(core, Send("DELETE", path, core.settings.timeouts.answer_s))
    except ApiError as error:
        if error.code != "job_not_found":
            raise


def listed(
    core: Core, state: Optional[str], service: Optional[str], limit: int
) -> Flow[list[JobInfo]]:
    """List jobs, newest first, over as many pages as `limit` needs."""
    found: list[JobInfo] = []
    after: Optional[str] = None
    while len(found) < limit:
        query: dict[str, Union[str, int]] = {"limit": min(limit - len(found), PAGE_MAX)}
        wanted = {"state": state, "service": service, "after": after}
        query.update({name: value for name, value in wanted.items() if value is not None})
        path = f"/v1/jobs?{urlencode(query)}"
        reply = yield from asked(core, Send("GET", path, core.settings.timeouts.answer_s))
        page = reply.object()
        found += [JobInfo.of_json(job) for job in page.get("data") or ()]
        after = page.get("next_cursor")
        if not after:
            break
    return found


def fetched(core: Core, path: str) -> Flow[dict[str, Any]]:
    """Get a JSON object of the gate."""
    reply = yield from asked(core, Send("GET", own_path(path), core.settings.timeouts.answer_s))
    return reply.object()


def job_path(job_id: str) -> str:
    """Give the path of a job."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def own_path(path: str) -> str:
    """Check that an address is a path of the gate itself: the key may go nowhere else."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        raise BadAnswerError(f"{path!r} is no path of the gate")
    return path


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
