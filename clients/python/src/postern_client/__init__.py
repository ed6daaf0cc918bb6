"""Client of a Postern gate: align texts, turn pictures into Gaussians, analyse video.

Start at `Client` or `AsyncClient`. `Bertalign`, `align_remote`, `predict` and
`predict_and_save_ply` are for scripts that call functions of these names already.
"""

from postern_client.aio import AsyncClient, AsyncJob
from postern_client.align import Alignment, AlignOptions
from postern_client.client import Client, Job
from postern_client.errors import (
    ApiError,
    AuthError,
    BadAnswerError,
    Code,
    ConfigError,
    JobCanceledError,
    JobError,
    JobFailedError,
    JobTimeoutError,
    LostAnswerError,
    NotFoundError,
    PosternError,
    Problem,
    RateLimitedError,
    RequestError,
    ServerError,
    UnreachableError,
)
from postern_client.jobs import JobInfo, Output, Progress
from postern_client.retry import Retries
from postern_client.scripts import Bertalign, align_remote, predict, predict_and_save_ply
from postern_client.settings import Timeouts
from postern_client.sharp import SharpParams
from postern_client.vision import Analysis, Frame, KeyFrame, VisionParams

__all__ = [
    "AlignOptions",
    "Alignment",
    "Analysis",
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AuthError",
    "BadAnswerError",
    "Bertalign",
    "Client",
    "Code",
    "ConfigError",
    "Frame",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobInfo",
    "JobTimeoutError",
    "KeyFrame",
    "LostAnswerError",
    "NotFoundError",
    "Output",
    "PosternError",
    "Problem",
    "Progress",
    "RateLimitedError",
    "RequestError",
    "Retries",
    "ServerError",
    "SharpParams",
    "Timeouts",
    "UnreachableError",
    "VisionParams",
    "align_remote",
    "predict",
    "predict_and_save_ply",
]
