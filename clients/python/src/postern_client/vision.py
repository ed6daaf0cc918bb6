"""Service `vision`: motion, edges, sharpness, key frames and defects of a video.

Owns the route, the parameters' names and the reading of the result. The ranges are the gate's: what
is out of them comes back as `RequestError` with the parameter in `problem.field`. Units are those
of `docs/vision.md`: pixels, gray levels, seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypedDict

from postern_client.body import Body, FileLike
from postern_client.errors import BadAnswerError, ConfigError
from postern_client.flow import Core, Flow
from postern_client.jobs import JobInfo, OnProgress, answered, body_of

PATH = "/v1/vision/analyze"


class Farneback(TypedDict, total=False):
    """Dense optical flow; lengths in pixels."""

    pyr_scale: float
    levels: int
    winsize: int
    iterations: int
    poly_n: Literal[5, 7]
    poly_sigma: float
    flags: Literal[0, 256]


class Canny(TypedDict, total=False):
    """Edges; `low` and `high` are gradients in gray levels."""

    low: float
    high: float
    aperture: Literal[3, 5, 7]
    l2: bool


class Morphology(TypedDict, total=False):
    """The masks made of edges; sizes in pixels."""

    op: Literal["erode", "dilate", "open", "close", "gradient", "tophat", "blackhat"]
    shape: Literal["rect", "cross", "ellipse"]
    width: int
    height: int
    iterations: int


class Heatmap(TypedDict, total=False):
    """`window` is the side of the square, pixels."""

    window: int


class DefectKind(TypedDict, total=False):
    """A name for regions that fit all conditions."""

    kind: str
    polarity: Literal["bright", "dark"]
    border: bool
    elongation_min: float
    area_min: int


class Defects(TypedDict, total=False):
    """What counts as a defect: pixels, gray levels, shares from 0 to 1."""

    size: int
    threshold: int
    area_min: int
    area_share_max: float
    margin: int
    regions_max: int
    kinds: Sequence[DefectKind]


Artifact = Literal[
    "key_frames",
    "edges",
    "masks",
    "heatmap",
    "defects",
    "flow_flo",
    "flow_safetensors",
    "flow_png",
    "preview",
    "plot",
    "zip",
]


class VisionParams(TypedDict, total=False):
    """Parameters of an analysis; what is left out has the gate's default (`docs/vision.md`)."""

    item_type: Literal["generic", "comic", "card"]
    outputs: Sequence[Artifact]
    every_n: int
    sample_fps: float
    max_frames: int
    key_frames: int
    farneback: Farneback
    canny: Canny
    morphology: Morphology
    heatmap: Heatmap
    defects: Defects


@dataclass(frozen=True)
class Frame:
    """Figures of one sampled frame.

    `time_s` in seconds from the start; `motion_*` are lengths of the optical flow from the sampled
    frame before, pixels, `None` for the first; `edge_density` from 0 to 1; `sharpness` in squared
    gray levels.
    """

    index: int
    source_index: int
    time_s: Optional[float]
    motion_mean: Optional[float]
    motion_max: Optional[float]
    edge_density: float
    sharpness: float


@dataclass(frozen=True)
class KeyFrame:
    """A chosen frame. `artifacts` has the gate's link of each artifact by its name."""

    index: int
    time_s: Optional[float]
    score: float
    artifacts: Mapping[str, Any]


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis; `raw` is all of it, `job` the finished job with its outputs."""

    frames: tuple[Frame, ...]
    key_frames: tuple[KeyFrame, ...]
    summary: Mapping[str, Optional[float]]
    source: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)
    job: JobInfo = field(repr=False)

    @classmethod
    def of_job(cls, job: JobInfo) -> Analysis:
        """Read the result of a job that succeeded; raises `BadAnswerError`."""
        raw = job.result
        try:
            return cls(
                frames=tuple(
                    Frame(**{name: frame[name] for name in Frame.__dataclass_fields__})
                    for frame in raw["frames"]
                ),
                key_frames=tuple(
                    KeyFrame(key["index"], key["time_s"], key["score"], key.get("artifacts") or {})
                    for key in raw["key_frames"]
                ),
                summary=raw["summary"],
                source=raw["source"],
                raw=raw,
                job=job,
            )
        except (KeyError, TypeError) as error:
            raise BadAnswerError(f"{job.id} has no result of vision ({error!r})") from None


def request(
    video: Optional[FileLike],
    frames: Optional[Sequence[FileLike]],
    params: Optional[VisionParams],
) -> Body:
    """Make the body: one video, or pictures of one size; raises `ConfigError`."""
    if (video is None) == (not frames):
        raise ConfigError("give a video or frames, one of them")
    files = [("video", video)] if video is not None else [("frame", f) for f in frames or ()]
    return body_of(dict(params or {}), files)


def analyzed(core: Core, body: Body, on_progress: Optional[OnProgress]) -> Flow[Analysis]:
    """Analyse and wait for the result."""
    _, job = yield from answered(core, PATH, body, on_progress)
    if job is None:
        raise BadAnswerError(f"{PATH} answered without a job")
    return Analysis.of_job(job)
