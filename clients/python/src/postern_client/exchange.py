"""One request on the wire, without the wire: what both clients do around `httpx`.

Owns the building of requests, the taking of answers and the meaning of broken connections. The
sync and the async client differ only in who waits. Always: no redirect is followed, and an answer
in memory has at most `ANSWER_BYTES_MAX`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Optional, Union, cast

import httpx

from postern_client.body import Form, Json
from postern_client.errors import BadAnswerError
from postern_client.flow import BrokenError, Reply, Send
from postern_client.settings import VERSION, Settings

# Ten thousand frames with their figures are 3 MB; the longest answer in memory that is taken.
ANSWER_BYTES_MAX = 256 << 20
AGENT = f"postern-client/{VERSION}"
# For a connection that does not take what is sent.
STALL_S = 180.0
Builder = Union[httpx.Client, httpx.AsyncClient]


class _Watched(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that knows whether all of it was handed over."""

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self.all_sent = False

    def __iter__(self) -> Iterator[bytes]:
        yield from cast(httpx.SyncByteStream, self._stream)
        self.all_sent = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in cast(httpx.AsyncByteStream, self._stream):
            yield piece
        self.all_sent = True


class Exchange:
    """One try of a `Send`; a context that closes the files of its body."""

    def __init__(self, client: Builder, settings: Settings, step: Send) -> None:
        self._client = client
        self._settings = settings
        self._step = step
        self._stack = contextlib.ExitStack()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._content = bytearray()

    def __enter__(self) -> Exchange:
        """Build the request; raises `OSError` when a file of the body cannot be opened."""
        self._stack.__enter__()
        try:
            self.request = self._built()
        except BaseException:
            self._stack.close()
            raise
        self._body = _Watched(self.request.stream)
        self.request.stream = self._body
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._stack.close()

    def _built(self) -> httpx.Request:
        step, times = self._step, self._settings.timeouts
        headers = {"accept": "application/json", "user-agent": AGENT, **step.headers}
        if step.sink is not None:
            # A range counts the bytes as they travel.
            headers.update({"accept": "*/*", "accept-encoding": "identity"})
        if self._settings.key is not None:
            headers["authorization"] = f"Bearer {self._settings.key.expose()}"
        timeout = httpx.Timeout(
            connect=times.connect_s, read=step.silence_s, write=STALL_S, pool=STALL_S
        )
        url = self._settings.base_url + step.path
        build = self._client.build_request
        if isinstance(step.body, Json):
            headers["content-type"] = "application/json"
            return build(step.method, url, headers=headers, content=step.body.text, timeout=timeout)
        if isinstance(step.body, Form):
            files = step.body.open(self._stack)
            return build(
                step.method,
                url,
                headers=headers,
                data=dict(step.body.fields),
                files=files,
                timeout=timeout,
            )
        return build(step.method, url, headers=headers, timeout=timeout)

    def begin(self, response: httpx.Response) -> None:
        """See the head of the answer."""
        self._status = response.status_code
        self._headers = {name.lower(): value for name, value in response.headers.items()}
        if self._streams and self._step.sink is not None:
            self._step.sink.begin(self._status, self._headers)

    def take(self, piece: bytes) -> None:
        """Take bytes of the answer's body."""
        if self._streams and self._step.sink is not None:
            self._step.sink.write(piece)
            return
        if len(self._content) + len(piece) > ANSWER_BYTES_MAX:
            raise BadAnswerError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        self._content += piece

    def reply(self) -> Reply:
        """Give the whole answer."""
        return Reply(self._status, self._headers, bytes(self._content))

    def broken(self, error: httpx.RequestError) -> BrokenError:
        """Say what became of a request whose connection broke."""
        never_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        all_sent = self._body.all_sent and not isinstance(error, never_sent)
        reason = str(error) or type(error).__name__
        return BrokenError(reason, all_sent)

    @property
    def _streams(self) -> bool:
        return 200 <= self._status < 300
