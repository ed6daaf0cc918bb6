"""Service `vision`, for real: a clip goes in, figures and files come out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import FRAMES, QUICK
from gate import Gate

from postern_client import (
    Analysis,
    AsyncClient,
    Client,
    ConfigError,
    JobFailedError,
    JobInfo,
    RequestError,
    VisionParams,
)

SHORT: VisionParams = {"every_n": 5, "key_frames": 1}


def test_a_clip_becomes_figures_and_files(client: Client, clip: Path, tmp_path: Path) -> None:
    analysis = client.vision.analyze(clip, params={"every_n": 5, "key_frames": 1})
    assert [frame.source_index for frame in analysis.frames] == [0, 5, 10, 15]
    assert analysis.frames[0].motion_mean is None
    assert all((frame.motion_mean or 0) > 0 for frame in analysis.frames[1:])
    assert (analysis.source["width"], analysis.source["height"]) == (160, 120)
    assert len(analysis.key_frames) == 1
    assert analysis.raw["params"]["every_n"] == 5
    paths = client.vision.download_all(analysis, tmp_path / "out")
    assert {path.name for path in paths} == {"key_frame_0.png", "edges_0.png", "mask_0.png"}
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted((tmp_path / "out").iterdir()) == sorted(paths), "and nothing else stays behind"


def test_bytes_and_a_path_give_the_same(client: Client, clip: Path) -> None:
    by_path = client.vision.analyze(clip, params=SHORT)
    by_bytes = client.vision.analyze(clip.read_bytes(), params=SHORT)
    assert by_path.frames == by_bytes.frames


def test_nested_parameters_reach_the_service(client: Client, clip: Path) -> None:
    analysis = client.vision.analyze(
        clip, params={"every_n": 10, "outputs": [], "canny": {"low": 20, "l2": True}}
    )
    used = analysis.raw["params"]
    assert (used["canny"]["low"], used["canny"]["l2"]) == (20, True)
    assert analysis.job.outputs == ()


def test_pictures_are_one_sequence(client: Client, clip: Path, tmp_path: Path) -> None:
    first = client.vision.analyze(clip, params={"every_n": 10, "outputs": ["key_frames"]})
    pictures = client.vision.download_all(first, tmp_path)
    second = client.vision.analyze(frames=pictures, params={"outputs": []})
    assert len(second.frames) == len(pictures) == 2
    assert second.source["kind"] == "frames"


def test_progress_is_told_and_ends_with_the_result(client: Client, clip: Path) -> None:
    seen: list[JobInfo] = []
    analysis = client.vision.analyze(clip, params=SHORT, on_progress=seen.append)
    assert seen[-1].state == "succeeded"
    assert seen[-1] == analysis.job
    assert all(0 <= job.progress.fraction <= 1 for job in seen)


def test_a_submitted_analysis_is_read_from_its_job(client: Client, clip: Path) -> None:
    job = client.vision.submit(clip, params={"outputs": []})
    analysis = Analysis.of_job(job.wait())
    assert len(analysis.frames) == FRAMES
    assert job.state == "succeeded"


def test_a_wrong_parameter_is_named(client: Client, clip: Path) -> None:
    with pytest.raises(RequestError) as caught:
        client.vision.analyze(clip, params={"canny": {"low": -1}})
    assert (caught.value.code, caught.value.problem.field) == ("field_invalid", "canny.low")
    assert (caught.value.problem.request_id or "").startswith("req_")


def test_a_broken_clip_fails_with_its_code(client: Client) -> None:
    broken = b"\0\0\0\x20ftypisom and then nothing of the kind"
    job = client.vision.submit(broken)
    with pytest.raises(JobFailedError) as caught:
        job.wait()
    assert caught.value.code == "video_undecodable"
    assert caught.value.job.state == "failed"


def test_what_makes_no_sense_is_said_before_anything_is_sent(clip: Path) -> None:
    client = Client("http://127.0.0.1:9")
    with pytest.raises(ConfigError):
        client.vision.analyze()
    with pytest.raises(ConfigError):
        client.vision.analyze(clip, frames=[clip])
    with pytest.raises(ConfigError, match="cannot be sent"):
        client.vision.analyze(clip, params={"sample_fps": float("nan")})
    with pytest.raises(FileNotFoundError):
        client.vision.analyze("gone.mp4")


def test_many_at_once_by_the_async_client(gate: Gate, clip: Path, tmp_path: Path) -> None:
    async def run() -> list[Analysis]:
        async with AsyncClient(gate.url, gate.key, retries=QUICK) as client:
            wanted = [client.vision.analyze(clip, params=SHORT) for _ in range(3)]
            done = await asyncio.gather(*wanted)
            paths = await client.vision.download_all(done[0], tmp_path)
            assert all(path.stat().st_size > 0 for path in paths)
            return list(done)

    first, *others = asyncio.run(run())
    assert len({first.job.id, *(other.job.id for other in others)}) == 3
    assert all(other.frames == first.frames for other in others)
