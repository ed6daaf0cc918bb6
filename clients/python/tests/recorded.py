"""A server that answers as it was told, for services that the gate under test has not yet.

Not a gate: it holds answers in the form of the gate's contract and keeps what it was asked. Tests
that use it say so in their names; beside each stands one against the real routes.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional, Union


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Told:
    """One answer."""

    body: Union[bytes, dict[str, Any]]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Recorded:
    """Answers each path by its list of answers, the last one again and again."""

    def __init__(self, answers: dict[str, list[Told]]) -> None:
        self.asked: list[Asked] = []
        self._answers = answers
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                recorded.asked.append(Asked(self.command, self.path, headers, body))
                told = recorded.next(self.path)
                if told is None:
                    told = Told({"code": "not_found", "detail": self.path}, 404)
                content = told.body if isinstance(told.body, bytes) else json.dumps(told.body)
                raw = content if isinstance(content, bytes) else content.encode()
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_HEAD = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Keep still."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self, path: str) -> Optional[Told]:
        answers = self._answers.get(path, [])
        return answers.pop(0) if len(answers) > 1 else (answers[0] if answers else None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def job(service: str, state: str, **more: Any) -> dict[str, Any]:
    """Make a job in the form of `Job` in docs/contracts/openapi.json."""
    path = "/v1/jobs/job_1"
    return {
        "id": "job_1",
        "service": service,
        "pipeline": f"{service}@1",
        "state": state,
        "outputs": [],
        "links": {"self": path, "cancel": f"{path}/cancel"},
        **more,
    }
