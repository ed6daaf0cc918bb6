"""Outputs of jobs: downloads that go on where they broke off.

Owns the flow of a download and where its bytes go. Always: a file appears under its name only when
it is whole; what is gone on from is what the gate's `ETag` (a digest of the content) named; no name
of the gate leads out of the folder.
"""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Optional, Union

from postern_client.errors import BadAnswerError, ConfigError, PosternError, UnreachableError
from postern_client.flow import BrokenError, Core, Flow, Send, asked, refusal, send, waited
from postern_client.jobs import JobInfo, Output

try:
    import fcntl
except ImportError:  # Windows: two downloads to one target at once are not told apart.
    fcntl = None  # type: ignore[assignment]

# An ETag of the gate: a strong one, safe as a part of a file's name.
_TAG = re.compile(r'"([0-9A-Za-z_-]{1,128})"')
_RANGE = re.compile(r"bytes (\d+)-\d+/\d+")
# Longest name of a file that is made; with what surrounds it, below the 255 of most systems.
_NAME_BYTES_MAX = 160


class _Store:
    """Where the bytes of one download gather: memory. Takes `output.bytes` and not one more."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.tag: Optional[str] = None
        self.length = 0
        self._bytes: IO[bytes] = io.BytesIO()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """See the head: either all bytes come, or those from where it broke off."""
        match = _TAG.fullmatch(headers.get("etag", ""))
        tag = match.group(1) if match else None
        if status == 206:
            match = _RANGE.fullmatch(headers.get("content-range", ""))
            first = int(match.group(1)) if match else None
            if tag is None or tag != self.tag or first != self.length:
                raise BadAnswerError("the gate sent another range than it was asked for")
            return
        self.restart(tag)

    def restart(self, tag: Optional[str]) -> None:
        """Begin with the first byte of the content that the tag names."""
        self._bytes.seek(0)
        self._bytes.truncate()
        self.tag, self.length = tag, 0

    def write(self, piece: bytes) -> None:
        """Append."""
        if self.length + len(piece) > self._output.bytes:
            self.restart(None)
            raise BadAnswerError(f"{self._output.url} has more than its {self._output.bytes} bytes")
        self._bytes.write(piece)
        self.length += len(piece)

    def content(self) -> bytes:
        """Give all bytes."""
        self._bytes.seek(0)
        return self._bytes.read()


class _Part(_Store):
    """A file beside the target, `.NAME.TAG.part`, which a later call finds and goes on from.

    It is locked while it grows; a second download to the same target takes a file of its own,
    which does not stay.
    """

    def __init__(self, output: Output, target: Path) -> None:
        super().__init__(output)
        self._target = target
        self._path: Optional[Path] = None
        self._stays = False
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix, suffix = f".{target.name}.", ".part"
        for path in sorted(target.parent.glob(f".*{suffix}")):
            tag = path.name[len(prefix) : -len(suffix)]
            if path.name != f"{prefix}{tag}{suffix}" or not _TAG.fullmatch(f'"{tag}"'):
                continue
            file = path.open("r+b")
            if _locked(file, path):
                self._bytes, self._path, self._stays = file, path, True
                self.tag, self.length = tag, file.seek(0, os.SEEK_END)
                break
            file.close()

    def restart(self, tag: Optional[str]) -> None:
        self._stays = False
        self.close()
        path = self._target.with_name(f".{self._target.name}.{tag or 'new'}.part")
        try:
            self._bytes = path.open("x+b")
            self._stays = _locked(self._bytes, path)
        except FileExistsError:
            path = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            self._bytes = path.open("x+b")
        self._path, self.tag, self.length = path, tag, 0

    def close(self) -> None:
        """Close the file; with bytes that a later call can use, it stays."""
        if self._path is not None and not (self._stays and self.length > 0):
            self._path.unlink(missing_ok=True)
            self._path = None
        self._bytes.close()

    def keep(self) -> None:
        """Give the whole file its name."""
        if self._path is None:
            raise AssertionError("only what was begun is kept")
        self._bytes.flush()
        os.fsync(self._bytes.fileno())
        if fcntl is None:
            # Windows moves no open file; elsewhere the lock holds until it has moved.
            self._bytes.close()
        self._path.replace(self._target)
        self._path = None


def _locked(file: IO[bytes], path: Path) -> bool:
    """Lock a file until it is closed; `False` when another download has it, or had and moved it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def read(core: Core, output: Output) -> Flow[bytes]:
    """Get an output into memory."""
    store = _Store(output)
    yield from _received(core, output, store)
    return store.content()


def saved(core: Core, output: Output, target: Union[str, os.PathLike[str]]) -> Flow[Path]:
    """Get an output into a file, piece by piece; replaces a file of that name when it is whole."""
    path = Path(target)
    part = _Part(output, path)
    try:
        yield from _received(core, output, part)
        part.keep()
    finally:
        part.close()
    return path


def all_saved(core: Core, job: JobInfo, folder: Union[str, os.PathLike[str]]) -> Flow[list[Path]]:
    """Get every output of a job into a folder, under its own name."""
    targets = [Path(folder) / _safe(output.name) for output in job.outputs]
    for output, target in zip(job.outputs, targets):
        yield from saved(core, output, target)
    return targets


def _received(core: Core, output: Output, store: _Store) -> Flow[None]:
    if store.tag is not None and store.length >= output.bytes:
        if store.length == output.bytes and (yield from _is_of(core, output, store.tag)):
            return
        # Of another job, which had an output of the same name.
        store.restart(None)
    patience = core.patience()
    reached = store.length
    while True:
        request = _request(core, output, store)
        fault: PosternError
        try:
            reply = yield from send(request)
        except BrokenError as broken:
            fault = UnreachableError(f"{core.settings.base_url}: {broken.reason}")
        else:
            if reply.status in (200, 206) and store.length == output.bytes:
                return
            if reply.status == 416:
                # The rest of something else: from its beginning, then.
                store.restart(None)
            is_good = 200 <= reply.status < 300 or reply.status == 416
            short = UnreachableError(f"{output.url} has {store.length} of {output.bytes} bytes")
            fault = short if is_good else refusal(reply)
        if store.length > reached:
            reached = store.length
            patience.renew()
        yield from waited(patience, fault, request)


def _is_of(core: Core, output: Output, tag: str) -> Flow[bool]:
    """Tell whether the tag is that of the output."""
    reply = yield from asked(core, Send("HEAD", output.url, core.settings.timeouts.answer_s))
    return reply.headers.get("etag") == f'"{tag}"'


def _request(core: Core, output: Output, store: _Store) -> Send:
    headers: dict[str, str] = {}
    if store.tag is not None and store.length > 0:
        # With other bytes under that name by now, all of them come.
        headers = {"range": f"bytes={store.length}-", "if-range": f'"{store.tag}"'}
    silence_s = core.settings.timeouts.answer_s
    return Send("GET", output.url, silence_s, headers, sink=store)


def _safe(name: str) -> str:
    """Check that a name of the gate is a name and nothing else."""
    odd = not name or name.startswith(".") or len(name.encode()) > _NAME_BYTES_MAX
    if odd or any(char in '/\\:*?"<>|' or ord(char) < 32 for char in name):
        raise ConfigError(f"{name!r} is no name for a file; use `download(name, path)`")
    return name
