"""The sync client: carries flows out with `httpx.Client`.

Owns the waiting and the surface; every decision is made in `flow.py` and in the modules of the
services. `aio.py` is the same with `await`. A client may be used from several threads.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, TypeVar, Union

import httpx

from postern_client import align, download, jobs, sharp, vision
from postern_client.body import FileLike, Params
from postern_client.exchange import Exchange
from postern_client.flow import Core, Flow, Pause, Reply, Send
from postern_client.jobs import JobInfo, OnProgress
from postern_client.retry import Retries
from postern_client.settings import Settings, Timeouts

T = TypeVar("T")
PathLike = Union[str, "os.PathLike[str]"]


class Client:
    """A gate and a key.

    `url` and `key` come from `POSTERN_URL` and `POSTERN_API_KEY` when they are not given. `http` is
    an `httpx.Client` of yours (proxies, own certificates), which is then not closed here. Raises
    `ConfigError`. Every method raises `ApiError`, `UnreachableError` and `BadAnswerError`.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        key: Optional[str] = None,
        *,
        timeouts: Optional[Timeouts] = None,
        retries: Optional[Retries] = None,
        http: Optional[httpx.Client] = None,
    ) -> None:
        settings = Settings.read(url, key, timeouts, retries)
        self._core = Core(settings, time.monotonic, random.random, lambda: str(uuid.uuid4()))
        self._is_own = http is None
        self._http = http or httpx.Client()
        self.vision = Vision(self)
        self.align = Align(self)
        self.sharp = Sharp(self)
        self.jobs = Jobs(self)

    def __repr__(self) -> str:
        return f"Client({self._core.settings.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            self._http.close()

    def models(self) -> dict[str, Any]:
        """Tell what can run at the gate: `GET /v1/models`."""
        return self._run(jobs.fetched(self._core, "/v1/models"))

    def submit(
        self,
        path: str,
        params: Optional[Params] = None,
        files: Sequence[tuple[str, FileLike]] = (),
    ) -> Job:
        """Send a request to any service and give the job at once.

        `files` are pairs of a form's part and a path or bytes; without any, JSON is sent.
        """
        body = jobs.body_of(params or {}, files)
        return Job(self, self._run(jobs.submitted(self._core, path, body)))

    def call(
        self,
        path: str,
        params: Optional[Params] = None,
        files: Sequence[tuple[str, FileLike]] = (),
        *,
        on_progress: Optional[OnProgress] = None,
    ) -> Any:
        """Send a request to any service, wait for the end, and give the service's result.

        Raises `JobFailedError`, `JobCanceledError` and `JobTimeoutError` too.
        """
        body = jobs.body_of(params or {}, files)
        return self._run(jobs.answered(self._core, path, body, on_progress))[0]

    def _run(self, flow: Flow[T]) -> T:
        """Carry a flow out."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._perform(step)
                except BaseException as fault:
                    step = flow.throw(fault)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, step: Union[Send, Pause]) -> Optional[Reply]:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        with Exchange(self._http, self._core.settings, step) as exchange:
            try:
                response = self._http.send(exchange.request, stream=True, follow_redirects=False)
                try:
                    exchange.begin(response)
                    for piece in response.iter_bytes():
                        exchange.take(piece)
                finally:
                    response.close()
            except httpx.RequestError as error:
                raise exchange.broken(error) from error
            return exchange.reply()


class Job:
    """A job at the gate. `info` is what was last known of it; `refresh` and `wait` look again."""

    def __init__(self, client: Client, info: JobInfo) -> None:
        self._client = client
        self.info = info

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.state!r})"

    @property
    def id(self) -> str:
        """Its id, `job_…`."""
        return self.info.id

    @property
    def state(self) -> str:
        """Its last known state."""
        return self.info.state

    def refresh(self) -> JobInfo:
        """Look at the job now."""
        self.info = self._client._run(jobs.looked(self._client._core, self.info.path))
        return self.info

    def wait(
        self, *, on_progress: Optional[OnProgress] = None, timeout_s: Optional[float] = None
    ) -> JobInfo:
        """Wait until the job has succeeded, `timeout_s` seconds at most.

        Without `timeout_s` the phases have the limits of `Timeouts`. Raises `JobFailedError`,
        `JobCanceledError`, `JobTimeoutError`.
        """
        core = self._client._core
        flow = jobs.completed(core, self.info.path, on_progress, timeout_s)
        self.info = self._client._run(flow)
        return self.info

    def cancel(self) -> JobInfo:
        """Ask the job to stop; a final one stays as it is."""
        self.info = self._client._run(jobs.canceled(self._client._core, self.info.path))
        return self.info

    def delete(self) -> None:
        """Delete the job, which must be final, and its outputs."""
        self._client._run(jobs.deleted(self._client._core, self.info.path))

    def read(self, name: str) -> bytes:
        """Get an output into memory. Raises `KeyError` for a name that the job has not."""
        return self._client._run(download.read(self._client._core, self.info.output(name)))

    def download(self, name: str, path: PathLike) -> Path:
        """Get an output into a file; goes on from what an earlier call left."""
        output = self.info.output(name)
        return self._client._run(download.saved(self._client._core, output, path))

    def download_all(self, folder: PathLike) -> list[Path]:
        """Get every output into a folder, under its own name."""
        return self._client._run(download.all_saved(self._client._core, self.info, folder))


class Jobs:
    """The jobs of the key's tenant."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, job_id: str) -> Job:
        """Take up a job by its id. Raises `NotFoundError`."""
        flow = jobs.looked(self._client._core, jobs.job_path(job_id))
        return Job(self._client, self._client._run(flow))

    def list(
        self, *, state: Optional[str] = None, service: Optional[str] = None, limit: int = 50
    ) -> list[Job]:
        """List jobs, newest first, `limit` at most."""
        found = self._client._run(jobs.listed(self._client._core, state, service, limit))
        return [Job(self._client, info) for info in found]


class Vision:
    """Service `vision`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(
        self,
        video: Optional[FileLike] = None,
        *,
        frames: Optional[Sequence[FileLike]] = None,
        params: Optional[vision.VisionParams] = None,
    ) -> Job:
        """Begin an analysis; `vision.Analysis.of_job(job.wait())` reads its result."""
        body = vision.request(video, frames, params)
        return Job(
            self._client, self._client._run(jobs.submitted(self._client._core, vision.PATH, body))
        )

    def analyze(
        self,
        video: Optional[FileLike] = None,
        *,
        frames: Optional[Sequence[FileLike]] = None,
        params: Optional[vision.VisionParams] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> vision.Analysis:
        """Analyse a video, or pictures of one size, and wait for the result."""
        body = vision.request(video, frames, params)
        return self._client._run(vision.analyzed(self._client._core, body, on_progress))

    def download_all(self, analysis: vision.Analysis, folder: PathLike) -> list[Path]:
        """Get every artifact of an analysis into a folder, under its own name."""
        return Job(self._client, analysis.job).download_all(folder)


class Align:
    """Service `align`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def align(
        self,
        src: str,
        tgt: str,
        options: Optional[align.AlignOptions] = None,
        *,
        on_progress: Optional[OnProgress] = None,
    ) -> align.Alignment:
        """Align two texts and wait for the result."""
        body = align.request(src, tgt, options or align.AlignOptions())
        return self._client._run(align.aligned(self._client._core, body, on_progress))


class Sharp:
    """Service `sharp`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(
        self,
        image: FileLike,
        *,
        params: Optional[sharp.SharpParams] = None,
        outputs: Sequence[sharp.OutputName] = ("ply",),
    ) -> Job:
        """Begin a prediction with any set of outputs."""
        body = sharp.request(image, params, tuple(outputs))
        return Job(
            self._client, self._client._run(jobs.submitted(self._client._core, sharp.PATH, body))
        )

    def predict(
        self,
        image: FileLike,
        *,
        params: Optional[sharp.SharpParams] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> dict[str, Any]:
        """Predict, and give every parameter of every Gaussian as lists.

        A whole picture is hundreds of megabytes of JSON; `save` gives a file instead.
        """
        flow = sharp.predicted(self._client._core, image, params, on_progress)
        return self._client._run(flow)

    def save(
        self,
        image: FileLike,
        path: PathLike,
        *,
        format: sharp.Format = "ply",
        params: Optional[sharp.SharpParams] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> Path:
        """Predict, and write the Gaussians into a file; they are never in memory as a whole."""
        flow = sharp.saved(self._client._core, image, path, format, params, on_progress)
        return self._client._run(flow)

    def predict_and_save_ply(
        self,
        image: FileLike,
        path: PathLike,
        *,
        params: Optional[sharp.SharpParams] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> bytes:
        """Predict, write a binary PLY, and give its bytes too."""
        return self.save(image, path, params=params, on_progress=on_progress).read_bytes()
