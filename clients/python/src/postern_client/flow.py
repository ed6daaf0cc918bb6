"""What a client does, without doing it: flows that yield steps.

Owns the form that the sync and the async client share. A flow is a generator: it yields a `Send`
or a `Pause`, is given a `Reply` (or a `BrokenError` is thrown into it), and returns what the caller
gets. Every decision is made here and in the modules above; `exchange.py` carries steps out. Knows
no service. Always: the key goes only to paths below the address that was given.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Optional, Protocol, TypeVar, Union

from postern_client.body import Body
from postern_client.errors import (
    ApiError,
    BadAnswerError,
    LostAnswerError,
    PosternError,
    Problem,
    UnreachableError,
)
from postern_client.retry import Patience, retry_after_s
from postern_client.settings import Settings

T = TypeVar("T")
LOG = logging.getLogger("postern_client")
# Answered by something in between, after the gate may have taken the request.
AMBIGUOUS_STATUSES = frozenset({502, 504})


class Sink(Protocol):
    """Takes the body of a good answer piece by piece, instead of having it in memory."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """See the head; raises `BadAnswerError` when the body is not what was asked for."""

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""


@dataclass(frozen=True)
class Send:
    """One request. `path` begins with `/`; `silence_s` is how long the answer may keep silent."""

    method: str
    path: str
    silence_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[Body] = None
    sink: Optional[Sink] = None


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """An answer that arrived whole.

    `headers` have lower-case names; `content` is empty where a sink took it.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Read the body; raises `BadAnswerError` when it is no JSON."""
        return json_of("the answer", self.content)

    def object(self) -> dict[str, Any]:
        """Read the body as a JSON object; raises `BadAnswerError`."""
        value = self.json()
        if not isinstance(value, dict):
            raise BadAnswerError("the answer is no JSON object; is it a gate?")
        return value

    def retry_after_s(self) -> Optional[float]:
        """Give `Retry-After` in seconds."""
        return retry_after_s(self.headers.get("retry-after"), datetime.now(timezone.utc))


def json_of(name: str, content: bytes) -> Any:
    """Read JSON; raises `BadAnswerError`, with the name, for what is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"{name} is no JSON ({error}); is it a gate?") from None


class BrokenError(Exception):
    """A connection that could not be made or broke; `all_sent` tells whether the gate may act."""

    def __init__(self, reason: str, all_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.all_sent = all_sent


Step = Union[Send, Pause]
Flow = Generator[Step, Optional[Reply], T]


@dataclass(frozen=True)
class Core:
    """What all flows of one client share; the clock (seconds) and chance ([0, 1)) are passed in."""

    settings: Settings
    now_s: Callable[[], float]
    chance: Callable[[], float]
    new_id: Callable[[], str]

    def patience(self) -> Patience:
        """Begin the patience of one request."""
        return Patience(self.settings.retries, self.chance)


def send(request: Send) -> Flow[Reply]:
    """One try; raises `BrokenError`."""
    reply = yield request
    if reply is None:
        raise AssertionError("a Send is answered by a Reply")
    return reply


def refusal(reply: Reply) -> PosternError:
    """Make the exception for an answer that is no success."""
    if reply.status < 400:
        return BadAnswerError(f"the gate answered {reply.status}, which no route of it does")
    try:
        value = reply.json()
    except BadAnswerError:
        value = None
    return ApiError.of(Problem.of_json(value, reply.status, reply.retry_after_s()))


def asked(core: Core, request: Send, *, repeatable: bool = True) -> Flow[Reply]:
    """Send until it succeeds, is refused for good, or patience is over.

    `repeatable` says that a request whose answer was lost may be sent again.
    """
    patience = core.patience()
    while True:
        fault: PosternError
        try:
            reply = yield from send(request)
        except BrokenError as broken:
            reason = f"{core.settings.base_url}: {broken.reason}"
            if broken.all_sent and not repeatable:
                text = f"{reason}; all was sent: look among your jobs before you try again"
                raise LostAnswerError(text) from broken
            fault = UnreachableError(reason)
        else:
            if 200 <= reply.status < 300:
                return reply
            fault = refusal(reply)
            if reply.status in AMBIGUOUS_STATUSES and not repeatable:
                text = f"{fault}; the gate may have it: look among your jobs before you try again"
                raise LostAnswerError(text)
        yield from waited(patience, fault, request)


def waited(patience: Patience, fault: PosternError, request: Send) -> Flow[None]:
    """Wait until another try is worth it; raises the fault when none is."""
    pause_s = patience.pause_s(fault)
    LOG.info("%s %s: again in %.1f s: %s", request.method, request.path, pause_s, fault)
    yield Pause(pause_s)
