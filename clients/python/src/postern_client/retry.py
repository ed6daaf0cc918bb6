"""When another try is worth it, and after which pause.

Owns the pauses and their bounds. Knows faults by class and code; sends nothing and does not sleep.
Always: the pauses of one request never sum to more than `Retries.patience_s`.
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Optional

from postern_client.errors import ApiError, Code, ConfigError, PosternError, UnreachableError

# What a later try may find changed; `docs/problems.md`.
PASSING_STATUSES = frozenset({429, 502, 503, 504})
# 503 that lasts until the operator has done something.
OPERATOR_CODES = frozenset(
    {
        Code.PIPELINE_UNAVAILABLE.value,
        Code.PIPELINE_UNKNOWN.value,
        Code.FFMPEG_MISSING.value,
        "weights_missing",
    }
)


@dataclass(frozen=True)
class Retries:
    """How long and how often what may pass is tried again. Times in seconds.

    - `patience_s`: all pauses of one request together; a download begins anew with each step
      forward. A `Retry-After` that does not fit ends the request at once. 0 never tries again.
    - `first_pause_s`, `pause_max_s`: pauses double from the one to the other; a longer
      `Retry-After` wins.
    - `jitter`: share of a pause, 0 to 1, that is added by chance, so that many clients do not come
      back together.
    - `resend_lost`: send a request again whose answer was lost after all of it was sent. It goes
      with the same `Idempotency-Key`; a gate that does not look at that may run a second job. With
      `False` the call ends with `LostAnswerError` instead.
    """

    patience_s: float = 120.0
    first_pause_s: float = 0.2
    pause_max_s: float = 10.0
    jitter: float = 0.25
    resend_lost: bool = True

    def __post_init__(self) -> None:
        spans = (self.patience_s, self.first_pause_s, self.pause_max_s)
        if not all(math.isfinite(span) and span >= 0 for span in spans):
            raise ConfigError("times of Retries are seconds, finite and not negative")
        if not 0 <= self.jitter <= 1:
            raise ConfigError("Retries.jitter is a share from 0 to 1")


class Patience:
    """Hands out the pauses of one request, longer each time."""

    def __init__(self, retries: Retries, chance: Callable[[], float]) -> None:
        """Take `chance` from [0, 1) for the jitter."""
        self._retries = retries
        self._chance = chance
        self._left_s = retries.patience_s
        self._next_s = retries.first_pause_s

    def pause_s(self, fault: PosternError) -> float:
        """Give the seconds until another try; raises the fault when none is worth it."""
        asked_s = fault.problem.retry_after_s if isinstance(fault, ApiError) else None
        pause_s = max(self._next_s * (1 + self._retries.jitter * self._chance()), asked_s or 0.0)
        if not may_pass(fault) or pause_s > self._left_s:
            raise fault
        self._left_s -= pause_s
        self._next_s = min(self._next_s * 2, self._retries.pause_max_s)
        return pause_s

    def renew(self) -> None:
        """Start anew, because something went forward."""
        self._left_s = self._retries.patience_s
        self._next_s = self._retries.first_pause_s


def may_pass(fault: PosternError) -> bool:
    """Tell whether the same request may fare better a little later."""
    if isinstance(fault, ApiError):
        problem = fault.problem
        lasts = problem.code in OPERATOR_CODES and problem.retry_after_s is None
        return problem.status in PASSING_STATUSES and not lasts
    return isinstance(fault, UnreachableError)


def retry_after_s(text: Optional[str], now: datetime) -> Optional[float]:
    """Read `Retry-After`: seconds, or a date (RFC 9110, 10.2.3); `None` for anything else."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return max(0.0, (then - now).total_seconds())
