"""Service `align`: two texts in two languages in, groups of sentences that belong together out.

Owns the route, the parameters and the reading of the result. Counts sentences from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from postern_client import download
from postern_client.body import Body, Json, given
from postern_client.errors import BadAnswerError
from postern_client.flow import Core, Flow, json_of
from postern_client.jobs import JobInfo, OnProgress, Output, answered

PATH = "/v1/align"
# The file of a job that has the sentences too.
OUTPUT = "result.json"
Bead = tuple[list[int], list[int]]


@dataclass(frozen=True)
class AlignOptions:
    """How two texts are aligned; the defaults are the gate's.

    - `max_align`: most sentences on both sides of a group together, from 2.
    - `top_k`: neighbours that the first pass looks at for each sentence.
    - `win`: half the width of the second pass's band, sentences.
    - `skip`: score of a sentence that belongs to none, -1 to 1; lower joins more.
    - `margin`: compare with the neighbours' similarity as well.
    - `len_penalty`: prefer groups of like length.
    - `is_split`: the texts have a sentence on each line already.
    - `src_lang`, `tgt_lang`: codes such as `de` or `pt-BR`; found by the gate when not given.
    - `encoder`: which model compares sentences; the gate's default when it is not given.
    """

    max_align: int = 5
    top_k: int = 3
    win: int = 5
    skip: float = -0.1
    margin: bool = True
    len_penalty: bool = True
    is_split: bool = False
    src_lang: Optional[str] = None
    tgt_lang: Optional[str] = None
    encoder: Optional[str] = None


@dataclass(frozen=True)
class Alignment:
    """An alignment. `result` has a pair (source indices, target indices) for each group.

    `scores` has a number for each group; `warnings` are the gate's, as JSON or text, and say what
    may make the result worse; `job` is the job's id.
    """

    result: list[Bead]
    src_sents: list[str]
    tgt_sents: list[str]
    src_lang: Optional[str] = None
    tgt_lang: Optional[str] = None
    scores: list[float] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)
    job: Optional[str] = None

    @classmethod
    def of_json(cls, value: Any, job: Optional[str] = None) -> Alignment:
        """Read the gate's answer; raises `BadAnswerError` for what is none."""
        if not isinstance(value, Mapping):
            raise BadAnswerError("the answer is no alignment")
        try:
            return cls(
                result=[(_indices(src), _indices(tgt)) for src, tgt in value["result"]],
                src_sents=_texts(value["src_sents"]),
                tgt_sents=_texts(value["tgt_sents"]),
                src_lang=value.get("src_lang"),
                tgt_lang=value.get("tgt_lang"),
                scores=[float(score) for score in value.get("scores") or ()],
                warnings=list(value.get("warnings") or ()),
                job=job or value.get("job"),
            )._checked()
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(f"the answer is no alignment ({error!r})") from None

    def _checked(self) -> Alignment:
        for src, tgt in self.result:
            for indices, sents in ((src, self.src_sents), (tgt, self.tgt_sents)):
                if any(not 0 <= index < len(sents) for index in indices):
                    raise ValueError("a group names a sentence that there is not")
        return self

    def pairs(self) -> list[tuple[str, str]]:
        """Give the groups as texts: sentences of one side joined by a space, `""` for none."""
        return [
            (
                " ".join(self.src_sents[index] for index in src),
                " ".join(self.tgt_sents[index] for index in tgt),
            )
            for src, tgt in self.result
        ]


def request(src: str, tgt: str, options: AlignOptions) -> Body:
    """Make the body."""
    return Json.of(given({"source": src, "target": tgt, **vars(options)}))


def aligned(core: Core, body: Body, on_progress: Optional[OnProgress]) -> Flow[Alignment]:
    """Align and wait for the result."""
    value, job = yield from answered(core, PATH, body, on_progress)
    if job is None:
        return Alignment.of_json(value)
    if not isinstance(value, Mapping) or "src_sents" not in value:
        # A job shows what was found without the texts; its file has everything.
        value = json_of(OUTPUT, (yield from download.read(core, _file(job))))
    return Alignment.of_json(value, job.id)


def _file(job: JobInfo) -> Output:
    for output in job.outputs:
        if output.name == OUTPUT:
            return output
    raise BadAnswerError(f"{job.id} has no sentences and no {OUTPUT}")


def _indices(value: Sequence[Any]) -> list[int]:
    if any(not isinstance(index, int) or isinstance(index, bool) for index in value):
        raise ValueError("an index is a whole number")
    return list(value)


def _texts(value: Sequence[Any]) -> list[str]:
    if isinstance(value, str) or any(not isinstance(text, str) for text in value):
        raise ValueError("sentences are texts")
    return list(value)
