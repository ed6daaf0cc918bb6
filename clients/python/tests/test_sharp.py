"""Service `sharp`: pictures to Gaussians, over a gate with a small model and recorded answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK
from recorded import Recorded, Told, job

from postern_client import (
    AsyncClient,
    Client,
    JobFailedError,
    RequestError,
    predict,
    predict_and_save_ply,
)

ROUTE = "/v1/sharp/predict"
PICTURE = b"\x89PNG\r\n\x1a\n and so on"
PLY = b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nend_header\n"
GAUSSIANS: dict[str, Any] = {
    "num_gaussians": 1,
    "width": 4,
    "height": 3,
    "focal_px": 900.0,
    "means": [[0.0, 0.0, 1.0]],
    "scales": [[0.1, 0.1, 0.1]],
    "rotations": [[1.0, 0.0, 0.0, 0.0]],
    "colors": [[0.5, 0.5, 0.5]],
    "opacities": [1.0],
}


def done(name: str, content: bytes) -> dict[str, Any]:
    url = f"/v1/jobs/job_1/outputs/{name}"
    output = {"name": name, "bytes": len(content), "media_type": "application/x", "url": url}
    return job("sharp", "succeeded", outputs=[output], result={"num_gaussians": 1})


def served(name: str, content: bytes) -> Recorded:
    """Serve a prediction that is accepted, loads, and has one output."""
    return Recorded(
        {
            ROUTE: [Told(job("sharp", "queued"), 202, {"location": "/v1/jobs/job_1"})],
            "/v1/jobs/job_1": [Told(job("sharp", "loading")), Told(done(name, content))],
            f"/v1/jobs/job_1/outputs/{name}": [Told(content, 200, {"etag": '"d1"'})],
        }
    )


@pytest.fixture
def ply() -> Iterator[Recorded]:
    server = served("gaussians.ply", PLY)
    yield server
    server.close()


def test_a_script_saves_a_ply_recorded(
    ply: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTERN_URL", ply.url)
    monkeypatch.setenv("POSTERN_API_KEY", "sk_a_b")
    assert predict_and_save_ply(PICTURE, tmp_path / "a.ply", focal_px=900) == PLY
    assert (tmp_path / "a.ply").read_bytes() == PLY
    form = ply.asked[0]
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="image"; filename="image"\r\n' in form.body
    assert PICTURE in form.body
    assert b'name="focal_px"\r\n\r\n900\r\n' in form.body
    assert b'name="outputs"\r\n\r\n["ply"]\r\n' in form.body


def test_predict_gives_every_gaussian_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    server = served("gaussians.json", json.dumps(GAUSSIANS).encode())
    with Client(server.url, "sk_a_b", retries=QUICK) as client:
        assert predict(PICTURE, client=client) == GAUSSIANS
    server.close()
    assert b'["json"]' in server.asked[0].body
    assert b"focal_px" not in server.asked[0].body, "the gate's default holds"


@pytest.mark.parametrize("kind", ["spz", "splat", "sog"])
def test_a_file_of_another_format_is_saved_recorded(tmp_path: Path, kind: Any) -> None:
    server = served(f"gaussians.{kind}", b"bytes")

    async def run() -> Path:
        async with AsyncClient(server.url, "sk_a_b", retries=QUICK) as client:
            return await client.sharp.save(PICTURE, tmp_path / "a", format=kind)

    assert asyncio.run(run()).read_bytes() == b"bytes"
    server.close()


def test_a_prediction_that_fails_says_why_recorded(tmp_path: Path) -> None:
    error = {"code": "picture_undecodable", "status": 422, "detail": "broken", "title": "t"}
    server = Recorded(
        {
            ROUTE: [Told(job("sharp", "running"), 202, {"location": "/v1/jobs/job_1"})],
            "/v1/jobs/job_1": [Told(job("sharp", "failed", error=error))],
        }
    )
    with (
        Client(server.url, "sk_a_b", retries=QUICK) as client,
        pytest.raises(JobFailedError) as caught,
    ):
        client.sharp.predict_and_save_ply(PICTURE, tmp_path / "a.ply")
    server.close()
    assert caught.value.code == "picture_undecodable"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def picture(client: Client, clip: Path, tmp_path: Path) -> Path:
    looked = client.vision.analyze(clip, params={"every_n": 20, "outputs": ["key_frames"]})
    (picture,) = client.vision.download_all(looked, tmp_path / "picture")
    return picture


def test_a_picture_becomes_gaussians_at_a_real_gate(
    client: Client, picture: Path, tmp_path: Path
) -> None:
    content = predict_and_save_ply(picture, tmp_path / "a.ply", focal_px=200, client=client)
    assert content == (tmp_path / "a.ply").read_bytes()
    gaussians = predict(picture, focal_px=200, client=client)
    count = gaussians["num_gaussians"]
    assert content.startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert f"element vertex {count}\n".encode() in content[:200]
    for name, width in (("means", 3), ("scales", 3), ("rotations", 4), ("colors", 3)):
        assert len(gaussians[name]) == count > 0, name
        assert all(len(row) == width for row in gaussians[name]), name
    assert (gaussians["width"], gaussians["height"], gaussians["focal_px"]) == (160, 120, 200)


@pytest.mark.parametrize("kind", ["spz", "splat", "sog"])
def test_a_real_gate_writes_other_formats(
    client: Client, picture: Path, tmp_path: Path, kind: Any
) -> None:
    path = client.sharp.save(picture, tmp_path / f"a.{kind}", format=kind)
    assert path.stat().st_size > 1000


def test_a_real_gate_refuses_what_is_no_picture(client: Client, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        predict_and_save_ply(PICTURE, tmp_path / "a.ply", client=client)
    assert caught.value.code == "picture_invalid"
    assert list(tmp_path.iterdir()) == []
