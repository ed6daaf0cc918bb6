"""Where the gate is, who asks, and how long to wait.

Owns the reading of `POSTERN_URL` and `POSTERN_API_KEY`, the same names as `postern call` has.
Always: the key shows in no `repr` and in no error.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from typing import Optional
from urllib.parse import urlsplit

from postern_client.errors import ConfigError
from postern_client.retry import Retries

# Read by the build, and told to the gate as `user-agent`.
VERSION = "0.1.0"
URL_VARIABLE = "POSTERN_URL"
KEY_VARIABLE = "POSTERN_API_KEY"
URL_DEFAULT = "http://127.0.0.1:8080"
# A token has 16 KiB at most; what is longer is not a key but a file taken for one.
KEY_CHARS_MAX = 32 << 10


@dataclass(frozen=True)
class Timeouts:
    """How long each phase may take, in seconds.

    - `connect_s`: until a connection stands.
    - `answer_s`: silence of a connection, while an answer or a download is awaited.
    - `accept_s`: from a whole request until the gate's answer; it searches a body of a gigabyte
      before it takes it.
    - `start_s`: from accepted to running: the queue, and a cold start, in which a machine comes up
      and a model of gigabytes is loaded. Not counted against `run_s`.
    - `run_s`: from running to done.
    """

    connect_s: float = 10.0
    answer_s: float = 60.0
    accept_s: float = 180.0
    start_s: float = 900.0
    run_s: float = 1800.0

    def __post_init__(self) -> None:
        for field in fields(self):
            span = getattr(self, field.name)
            if not (math.isfinite(span) and span > 0):
                raise ConfigError(f"Timeouts.{field.name} is in seconds, finite and above 0")


class Secret:
    """A text that does not show itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def expose(self) -> str:
        """Give the text; only the header of a request may hold it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class Settings:
    """What all requests of a client share."""

    base_url: str
    key: Optional[Secret]
    timeouts: Timeouts
    retries: Retries

    @classmethod
    def read(
        cls,
        url: Optional[str],
        key: Optional[str],
        timeouts: Optional[Timeouts],
        retries: Optional[Retries],
    ) -> Settings:
        """Complete what was given from the environment; raises `ConfigError`."""
        url = url or os.environ.get(URL_VARIABLE) or URL_DEFAULT
        key = (key if key is not None else os.environ.get(KEY_VARIABLE, "")).strip()
        if len(key) > KEY_CHARS_MAX or not all("!" <= char <= "~" for char in key):
            raise ConfigError("the key has odd characters, or too many")
        secret = Secret(key) if key else None
        return cls(_base(url), secret, timeouts or Timeouts(), retries or Retries())


def _base(url: str) -> str:
    """Check an address and take the `/` off its end."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{url!r} is no address; {URL_DEFAULT} is one") from None
    if "@" in parts.netloc:
        # Not shown: what stands before the @ is a password.
        raise ConfigError("the address may hold no user or password")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{url!r} must begin with http:// or https:// and name a host")
    if parts.query or parts.fragment:
        raise ConfigError(f"{url!r} may have a host, a port and a path, nothing else")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
