"""A relay between a client and a gate, which does damage when it is told to.

Owns its socket and its threads, which end with the process. Keeps every head that clients sent.
Each connection carries one request: the relay closes it after the answer.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Callable, Optional

PIECE_BYTES = 16 << 10
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass
class Fault:
    """Happens once, to the next request whose head contains `text`."""

    text: str
    # The whole answer in the gate's place; the gate is not asked.
    answer: Optional[bytes] = None
    # The gate is asked and does its work, and the answer ends after so many bytes.
    cut_bytes: Optional[int] = None
    # The connection ends before the gate is asked.
    refuse: bool = False


@dataclass
class Relay:
    """Passes on what it is not told to damage."""

    gate: tuple[str, int]
    faults: list[Fault] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def to(cls, address: str, *faults: Fault) -> Relay:
        host, port = address.rsplit(":", 1)
        return cls((host, int(port)), list(faults))

    def close(self) -> None:
        self._listener.close()

    def asked(self, text: str) -> list[str]:
        """Give the heads that contain a text."""
        return [head for head in self.heads if text in head]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            received = _until(client, lambda data: b"\r\n\r\n" in data)
            head, _, body = received.partition(b"\r\n\r\n")
            if not head:
                return
            fault = self._note(head.decode("latin-1"))
            if fault is not None and fault.refuse:
                return
            match = _LENGTH.search(head)
            length = int(match.group(1)) if match else 0
            if fault is not None and fault.answer is not None:
                _drain(client, length - len(body))
                client.sendall(fault.answer)
                return
            self._pass(client, head, body, length, fault)

    def _note(self, head: str) -> Optional[Fault]:
        with self._lock:
            self.heads.append(head)
            for index, fault in enumerate(self.faults):
                if fault.text in head:
                    return self.faults.pop(index)
        return None

    def _pass(
        self, client: socket.socket, head: bytes, body: bytes, length: int, fault: Optional[Fault]
    ) -> None:
        with socket.create_connection(self.gate) as gate:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"conn")]
            gate.sendall(b"\r\n".join([*lines, b"connection: close", b"", b""]) + body)
            left = length - len(body)
            while left > 0 and (piece := client.recv(min(PIECE_BYTES, left))):
                gate.sendall(piece)
                left -= len(piece)
            room = fault.cut_bytes if fault is not None else None
            while piece := gate.recv(PIECE_BYTES):
                if room is not None:
                    piece, room = piece[:room], max(0, room - len(piece))
                if piece:
                    client.sendall(piece)
                # Cut: the rest is read, so that the gate has done its work, and thrown away.


def answer(status: int, *headers: str, body: str = "") -> bytes:
    """Write an answer."""
    length = f"content-length: {len(body.encode())}"
    head = [f"HTTP/1.1 {status} Told", *headers, length, "connection: close"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def _until(sock: socket.socket, is_enough: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not is_enough(data) and (piece := sock.recv(PIECE_BYTES)):
        data += piece
    return data


def _drain(sock: socket.socket, left: int) -> None:
    while left > 0 and (piece := sock.recv(min(PIECE_BYTES, left))):
        left -= len(piece)
