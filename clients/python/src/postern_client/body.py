"""Bodies of requests: JSON, or a form with files.

Owns how parameters become fields and files become parts. Always: a body can be sent again from
its beginning, and a file that was given by its path is never in memory as a whole.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Union

from postern_client.errors import ConfigError

# What stands for a file: its bytes, or where it lies.
FileLike = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]"]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Json:
    """A JSON body."""

    text: bytes

    @classmethod
    def of(cls, value: Any) -> Json:
        """Write a value; raises `ConfigError` for what JSON cannot say."""
        return cls(_json(value))


@dataclass(frozen=True)
class Form:
    """A form: fields first, then the files as (part, what stands for the file)."""

    fields: Mapping[str, str]
    files: Sequence[tuple[str, FileLike]]

    def open(
        self, stack: contextlib.ExitStack
    ) -> list[tuple[str, tuple[str, Union[bytes, IO[bytes]], str]]]:
        """Open the files for one try; the stack closes them. Raises `OSError`."""
        parts: list[tuple[str, tuple[str, Union[bytes, IO[bytes]], str]]] = []
        for part, file in self.files:
            if isinstance(file, (bytes, bytearray, memoryview)):
                parts.append((part, (part, bytes(file), "application/octet-stream")))
                continue
            path = Path(file)
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            parts.append((part, (path.name, stack.enter_context(path.open("rb")), kind)))
        return parts


Body = Union[Json, Form]


def fields_of(params: Params) -> dict[str, str]:
    """Flatten parameters for a form: `{"canny": {"low": 20}}` is the field `canny.low`."""
    fields: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            fields.update({f"{name}.{below}": text for below, text in fields_of(value).items()})
        elif value is not None:
            fields[name] = value if isinstance(value, str) else _json(value).decode()
    return fields


def given(params: Params) -> dict[str, Any]:
    """Leave out what was not given, so that the gate's own defaults hold."""
    return {name: value for name, value in params.items() if value is not None}


def _json(value: Any) -> bytes:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair, as a wrong decoding leaves it, ends here.
        return text.encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a parameter cannot be sent: {error}") from None
