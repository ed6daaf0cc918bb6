"""What can go wrong, as exceptions.

Owns the classes and the codes that a program may want to branch on. Knows nothing of how requests
are sent. Always: a refusal of the gate keeps its whole problem (RFC 9457), also with a code that
this version does not know; no text of an exception holds a key.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from postern_client.jobs import JobInfo


class Code(str, enum.Enum):
    """Codes that a program may want to branch on; `docs/problems.md` has all, with their cures.

    A problem's `code` is a plain text and compares equal to these. Codes are permanent; a gate
    that is newer than this package may have more of them.
    """

    CREDENTIAL_MISSING = "credential_missing"
    KEY_MALFORMED = "key_malformed"
    KEY_UNKNOWN = "key_unknown"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    TENANT_SUSPENDED = "tenant_suspended"
    SCOPE_MISSING = "scope_missing"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TOO_MANY_IN_FLIGHT = "too_many_in_flight"
    TOO_MANY_JOBS = "too_many_jobs"
    QUEUE_FULL = "queue_full"
    PLAN_MISSING = "plan_missing"
    OVERLOADED = "overloaded"
    BODY_TOO_LARGE = "body_too_large"
    MEDIA_TYPE_UNSUPPORTED = "media_type_unsupported"
    FIELD_MISSING = "field_missing"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_INVALID = "field_invalid"
    FIELD_CONFLICT = "field_conflict"
    PICTURE_INVALID = "picture_invalid"
    VIDEO_INVALID = "video_invalid"
    IMAGE_TOO_LARGE = "image_too_large"
    NOT_FOUND = "not_found"
    JOB_NOT_FOUND = "job_not_found"
    OUTPUT_NOT_FOUND = "output_not_found"
    JOB_ACTIVE = "job_active"
    CANCELED = "canceled"
    SIDECAR_UNAVAILABLE = "sidecar_unavailable"
    PIPELINE_UNAVAILABLE = "pipeline_unavailable"
    PIPELINE_UNKNOWN = "pipeline_unknown"
    DEVICE_FAILED = "device_failed"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FFMPEG_MISSING = "ffmpeg_missing"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Problem:
    """What the gate says went wrong (RFC 9457).

    `retry_after_s` is in seconds, from the header; `None` when there was none.
    """

    code: str
    status: int
    detail: str
    title: str = ""
    field: Optional[str] = None
    request_id: Optional[str] = None
    retry_after_s: Optional[float] = None

    @classmethod
    def of_json(cls, value: Any, status: int, retry_after_s: Optional[float] = None) -> Problem:
        """Read a problem; one that is none was made by something between here and the gate."""
        if not isinstance(value, Mapping) or not isinstance(value.get("code"), str):
            detail = "something between here and the gate answered"
            return cls(f"http_{status}", status, detail, retry_after_s=retry_after_s)

        def text(name: str) -> Optional[str]:
            member = value.get(name)
            return member if isinstance(member, str) else None

        said = value.get("status")
        return cls(
            code=value["code"],
            status=said if isinstance(said, int) else status,
            detail=text("detail") or "",
            title=text("title") or "",
            field=text("field"),
            request_id=text("request_id"),
            retry_after_s=retry_after_s,
        )

    def __str__(self) -> str:
        field = f" {self.field}:" if self.field else ""
        request = f" ({self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}:{field} {self.detail}{request}"


class PosternError(Exception):
    """Everything that this package raises on purpose."""


class ConfigError(PosternError, ValueError):
    """An address, a key or an argument that cannot be right; nothing was sent."""


class ApiError(PosternError):
    """The gate said no. `code` is permanent: branch on it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)

    @property
    def code(self) -> str:
        """The permanent code, as in `Code`."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @staticmethod
    def of(problem: Problem) -> ApiError:
        """Choose the class for a problem by its status."""
        kinds: dict[int, type[ApiError]] = {
            401: AuthError,
            403: AuthError,
            404: NotFoundError,
            429: RateLimitedError,
        }
        if problem.status >= 500:
            return ServerError(problem)
        return kinds.get(problem.status, RequestError)(problem)


class AuthError(ApiError):
    """401 or 403: no key, a wrong one, or one that may not use this service."""


class RequestError(ApiError):
    """The request itself is not right (`problem.field` says where); it will not be later either."""


class NotFoundError(RequestError):
    """404: no such route, job or output; expired ones are gone."""


class RateLimitedError(ApiError):
    """429, after all patience: a limit of the plan."""


class ServerError(ApiError):
    """5xx, after all patience where it could have passed."""


class UnreachableError(PosternError):
    """No connection to the gate, or one that broke, after all patience."""


class LostAnswerError(UnreachableError):
    """The connection broke after all was sent, so the gate may have the job.

    Only with `Retries(resend_lost=False)`: look with `client.jobs.list()` before you try again.
    """


class BadAnswerError(PosternError):
    """What answered does not speak as a gate does."""


class JobError(PosternError):
    """About one job; `job` is what was last known of it."""

    job: JobInfo


class JobFailedError(JobError, ApiError):
    """The job ended as `failed` or `expired`; `problem` says why."""

    def __init__(self, job: JobInfo, problem: Problem) -> None:
        Exception.__init__(self, job, problem)
        self.job, self.problem = job, problem

    def __str__(self) -> str:
        return f"{self.job.id}: {self.problem}"


class JobCanceledError(JobError):
    """The job was cancelled."""

    def __init__(self, job: JobInfo) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"{self.job.id}: the job was cancelled"


class JobTimeoutError(JobError, TimeoutError):
    """Patience with a job is over on this side; the job itself goes on.

    `phase` is `start` (queue, cold start, loading of a model) or `run`. Wait again with
    `client.jobs.get(error.job.id).wait()`, or cancel it.
    """

    def __init__(self, job: JobInfo, phase: str, waited_s: float) -> None:
        super().__init__(job, phase, waited_s)
        self.job, self.phase, self.waited_s = job, phase, waited_s

    def __str__(self) -> str:
        return f"{self.job.id}: {self.phase} took longer than {self.waited_s:g} s; the job goes on"
