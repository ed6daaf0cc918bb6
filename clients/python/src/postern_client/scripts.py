"""The functions and the class that people's scripts call already, with remote compute.

Owns the names and the forms of earlier clients of `align` and `sharp`; each is a few lines over
`Client`. Address and key come from `POSTERN_URL` and `POSTERN_API_KEY`, or from a client of yours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Optional, Union

from postern_client.align import Alignment, AlignOptions, Bead
from postern_client.body import FileLike
from postern_client.client import Client
from postern_client.sharp import Axes, SharpParams


class Bertalign:
    """Aligns two texts, sentence by sentence.

    `align_sents` makes the one trip to the gate; `result`, the sentences and `print_sents` are
    local after it, and make it themselves when it was not called. Arguments as in `AlignOptions`.
    """

    def __init__(
        self,
        src: str,
        tgt: str,
        max_align: int = 5,
        top_k: int = 3,
        win: int = 5,
        skip: float = -0.1,
        margin: bool = True,
        len_penalty: bool = True,
        is_split: bool = False,
        *,
        src_lang: Optional[str] = None,
        tgt_lang: Optional[str] = None,
        encoder: Optional[str] = None,
        client: Optional[Client] = None,
    ) -> None:
        self._texts = (src, tgt)
        self._client = client
        self._options = AlignOptions(
            max_align=max_align,
            top_k=top_k,
            win=win,
            skip=skip,
            margin=margin,
            len_penalty=len_penalty,
            is_split=is_split,
            src_lang=src_lang,
            tgt_lang=tgt_lang,
            encoder=encoder,
        )
        self._alignment: Optional[Alignment] = None

    def align_sents(self) -> None:
        """Align. Raises what `Client.align.align` raises."""
        with _client(self._client) as client:
            self._alignment = client.align.align(*self._texts, self._options)

    @property
    def alignment(self) -> Alignment:
        """Everything that the gate answered."""
        if self._alignment is None:
            self.align_sents()
        if self._alignment is None:
            raise AssertionError("align_sents sets it or raises")
        return self._alignment

    @property
    def result(self) -> list[Bead]:
        """The groups: pairs of source indices and target indices."""
        return self.alignment.result

    @property
    def src_sents(self) -> list[str]:
        """The sentences of the source."""
        return self.alignment.src_sents

    @property
    def tgt_sents(self) -> list[str]:
        """The sentences of the target."""
        return self.alignment.tgt_sents

    @property
    def src_lang(self) -> Optional[str]:
        """The source's language, as an ISO 639-1 code."""
        return self.alignment.src_lang

    @property
    def tgt_lang(self) -> Optional[str]:
        """The target's language, as an ISO 639-1 code."""
        return self.alignment.tgt_lang

    @property
    def src_num(self) -> int:
        """How many sentences the source has."""
        return len(self.src_sents)

    @property
    def tgt_num(self) -> int:
        """How many sentences the target has."""
        return len(self.tgt_sents)

    def print_sents(self) -> None:
        """Print each group: a line of the source, one of the target, an empty one."""
        for src, tgt in self.alignment.pairs():
            print(f"{src}\n{tgt}\n")


def align_remote(
    src: str,
    tgt: str,
    is_split: bool = False,
    *,
    encoder: Optional[str] = None,
    client: Optional[Client] = None,
) -> list[Bead]:
    """Align two texts, and give the groups: pairs of source indices and target indices."""
    with _client(client) as chosen:
        options = AlignOptions(is_split=is_split, encoder=encoder)
        return chosen.align.align(src, tgt, options).result


def predict(
    image_bytes: FileLike,
    focal_px: Optional[float] = None,
    *,
    axes: Optional[Axes] = None,
    client: Optional[Client] = None,
) -> dict[str, Any]:
    """Turn a picture into Gaussians, every parameter as lists.

    `focal_px` in pixels of the picture as it is shown; without it its EXIF says, or a guess.
    """
    with _client(client) as chosen:
        return chosen.sharp.predict(image_bytes, params=_params(focal_px, axes))


def predict_and_save_ply(
    image_bytes: FileLike,
    path: Union[str, os.PathLike[str]],
    focal_px: Optional[float] = None,
    *,
    axes: Optional[Axes] = None,
    client: Optional[Client] = None,
) -> bytes:
    """Turn a picture into Gaussians, write them as binary PLY, and give its bytes too."""
    with _client(client) as chosen:
        params = _params(focal_px, axes)
        return chosen.sharp.predict_and_save_ply(image_bytes, path, params=params)


def _params(focal_px: Optional[float], axes: Optional[Axes]) -> SharpParams:
    params = SharpParams()
    if focal_px is not None:
        params["focal_px"] = focal_px
    if axes is not None:
        params["axes"] = axes
    return params


@contextlib.contextmanager
def _client(given: Optional[Client]) -> Iterator[Client]:
    """Use the caller's client, or one that lives as long as the call."""
    if given is not None:
        yield given
        return
    with Client() as client:
        yield client
