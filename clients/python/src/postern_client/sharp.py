"""Service `sharp`: one picture in, 3D Gaussians out.

Owns the route, the parameters' names and which output is which format. Coordinates are metres in
the axes that were asked for; focal length and principal point are pixels of the picture as it is
shown, that is, after its EXIF rotation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Optional, TypedDict, Union

from postern_client import download
from postern_client.body import Body, FileLike
from postern_client.errors import BadAnswerError
from postern_client.flow import Core, Flow, json_of
from postern_client.jobs import JobInfo, OnProgress, Output, answered, body_of

PATH = "/v1/sharp/predict"
Axes = Literal["opencv", "opengl", "gltf"]
Format = Literal["ply", "spz", "splat", "sog", "json"]
OutputName = Literal["ply", "spz", "splat", "sog", "json", "preview", "video"]
Trajectory = Literal["rotate_forward", "rotate", "swipe", "shake"]


class SharpParams(TypedDict, total=False):
    """Parameters of a prediction; what is left out has the gate's default.

    - `focal_px`: focal length, pixels, above 0; without it the picture's EXIF says, or a guess.
    - `principal_x`, `principal_y`: principal point, pixels; without them the centre.
    - `axes`: `opencv` (x right, y down, z forward), `opengl` or `gltf`.
    - `trajectory`: the camera's way in the output `video`.
    """

    focal_px: float
    principal_x: float
    principal_y: float
    axes: Axes
    trajectory: Trajectory


def request(
    image: FileLike,
    params: Optional[SharpParams],
    outputs: tuple[OutputName, ...],
) -> Body:
    """Make the body of a prediction."""
    return body_of({**(params or {}), "outputs": list(outputs)}, [("image", image)])


def _predicted(
    core: Core,
    image: FileLike,
    kind: Format,
    params: Optional[SharpParams],
    on_progress: Optional[OnProgress],
) -> Flow[tuple[JobInfo, Output]]:
    body = request(image, params, (kind,))
    _, job = yield from answered(core, PATH, body, on_progress)
    if job is None:
        raise BadAnswerError(f"{PATH} answered without a job")
    for output in job.outputs:
        if output.name.endswith(f".{kind}"):
            return job, output
    raise BadAnswerError(f"{job.id} has no output in the form {kind}")


def predicted(
    core: Core,
    image: FileLike,
    params: Optional[SharpParams],
    on_progress: Optional[OnProgress],
) -> Flow[dict[str, Any]]:
    """Predict, and give every parameter of every Gaussian."""
    _, output = yield from _predicted(core, image, "json", params, on_progress)
    value = json_of(output.url, (yield from download.read(core, output)))
    if not isinstance(value, dict):
        raise BadAnswerError(f"{output.url} is no JSON object")
    return value


def saved(
    core: Core,
    image: FileLike,
    target: Union[str, os.PathLike[str]],
    kind: Format,
    params: Optional[SharpParams],
    on_progress: Optional[OnProgress],
) -> Flow[Path]:
    """Predict, and write the Gaussians into a file without having them in memory."""
    _, output = yield from _predicted(core, image, kind, params, on_progress)
    return (yield from download.saved(core, output, target))
