"""Outputs of a real job: whole, over connections that break, and beside what is there already."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import QUICK, Damage
from gate import Gate
from relay import Fault, answer

from postern_client import (
    Analysis,
    BadAnswerError,
    Client,
    ConfigError,
    Job,
    Output,
    UnreachableError,
)
from postern_client.download import _Part, _safe
from postern_client.retry import Retries

NAME = "key_frame_0.png"
OUTPUT = f"/outputs/{NAME}"


@pytest.fixture(scope="session")
def analysis(gate: Gate, clip: Path) -> Analysis:
    with Client(gate.url, gate.key, retries=QUICK) as client:
        return client.vision.analyze(clip, params={"every_n": 10, "key_frames": 2})


@pytest.fixture(scope="session")
def content(gate: Gate, analysis: Analysis) -> bytes:
    with Client(gate.url, gate.key, retries=QUICK) as client:
        content = Job(client, analysis.job).read(NAME)
    assert len(content) == analysis.job.output(NAME).bytes > 5_000
    return content


def test_a_download_goes_on_where_it_broke_off(
    damage: Damage, analysis: Analysis, content: bytes, tmp_path: Path
) -> None:
    faults = [Fault(OUTPUT, cut_bytes=cut) for cut in (5_000, 0, 3_000)]
    client, relay = damage.behind(*faults)
    target = Job(client, analysis.job).download(NAME, tmp_path / "deep" / "a.png")
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]
    heads = relay.asked(OUTPUT)
    starts = [re.search(r"(?im)^range: bytes=(\d+)-\r?$", head) for head in heads]
    first, *others = [int(start.group(1)) if start else 0 for start in starts]
    assert first == 0
    assert len(others) == 3
    assert 0 < others[0] == others[1] < others[2] < len(content)
    assert all(re.search(r'(?im)^if-range: "', head) for head in heads[1:])


def test_bytes_in_memory_are_whole_as_well(
    damage: Damage, analysis: Analysis, content: bytes
) -> None:
    client, relay = damage.behind(Fault(OUTPUT, cut_bytes=4_000))
    assert Job(client, analysis.job).read(NAME) == content
    assert len(relay.asked(OUTPUT)) == 2


def test_what_an_earlier_call_left_is_used_if_it_is_right(
    damage: Damage, analysis: Analysis, content: bytes, tmp_path: Path
) -> None:
    client, relay = damage.behind(Fault(OUTPUT, cut_bytes=5_000), retries=Retries(patience_s=0))
    job = Job(client, analysis.job)
    with pytest.raises(UnreachableError):
        job.download(NAME, tmp_path / NAME)
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(rf"\.{NAME}\.[0-9a-f]{{64}}\.part", left.name)
    begun = left.read_bytes()
    assert content.startswith(begun)
    assert 0 < len(begun) < len(content)
    job.download(NAME, tmp_path / NAME)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == content
    assert re.search(rf"(?im)^range: bytes={len(begun)}-", relay.asked(OUTPUT)[-1])


@pytest.mark.parametrize("length", ["short", "same", "long"])
def test_what_another_job_left_is_not_used(
    client: Client, analysis: Analysis, content: bytes, tmp_path: Path, length: str
) -> None:
    count = {"short": 1_000, "same": len(content), "long": len(content) + 9}[length]
    (tmp_path / f".{NAME}.{'0' * 64}.part").write_bytes(b"x" * count)
    target = Job(client, analysis.job).download(NAME, tmp_path / NAME)
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_whole_part_is_kept_without_a_second_download(
    damage: Damage, analysis: Analysis, content: bytes, tmp_path: Path
) -> None:
    client, relay = damage.behind()
    job = Job(client, analysis.job)
    digest = _head(client, job.info.output(NAME))["etag"].strip('"')
    (tmp_path / f".{NAME}.{digest}.part").write_bytes(content)
    target = job.download(NAME, tmp_path / NAME)
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert relay.asked(f"HEAD /v1/jobs/{job.id}{OUTPUT}")
    assert not relay.asked(f"GET /v1/jobs/{job.id}{OUTPUT}")


def test_a_file_of_that_name_is_replaced_only_by_a_whole_one(
    damage: Damage, analysis: Analysis, content: bytes, tmp_path: Path
) -> None:
    target = tmp_path / NAME
    target.write_text("mine")
    client, _ = damage.behind(Fault(OUTPUT, cut_bytes=5_000), retries=Retries(patience_s=0))
    with pytest.raises(UnreachableError):
        Job(client, analysis.job).download(NAME, target)
    assert target.read_text() == "mine"
    Job(client, analysis.job).download(NAME, target)
    assert target.read_bytes() == content


def test_more_bytes_than_announced_are_refused(
    damage: Damage, analysis: Analysis, tmp_path: Path
) -> None:
    long = answer(200, 'etag: "a"', body="x" * 100_000)
    client, _ = damage.behind(Fault(OUTPUT, long))
    with pytest.raises(BadAnswerError, match="more than its"):
        Job(client, analysis.job).download(NAME, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_another_range_than_was_asked_for_is_refused(damage: Damage, analysis: Analysis) -> None:
    other = answer(206, 'etag: "a"', "content-range: bytes 7-9/10", body="abc")
    client, _ = damage.behind(Fault(OUTPUT, other))
    with pytest.raises(BadAnswerError, match="another range"):
        Job(client, analysis.job).read(NAME)


def test_an_output_that_is_not_there_is_named(client: Client, analysis: Analysis) -> None:
    with pytest.raises(KeyError, match=f"it has .*{NAME}"):
        Job(client, analysis.job).read("gaussians.ply")


def test_two_downloads_to_one_target_do_not_mix(
    client: Client, analysis: Analysis, content: bytes, tmp_path: Path
) -> None:
    output = analysis.job.output(NAME)
    other = _Part(output, tmp_path / NAME)
    other.begin(200, _head(client, output))
    other.write(b"x" * 1_000)
    other._bytes.flush()
    target = Job(client, analysis.job).download(NAME, tmp_path / NAME)
    assert target.read_bytes() == content
    other.write(b"x" * 10)
    other.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {NAME, f".{NAME}.{other.tag}.part"}, "what the other began is the other's"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0", "C:a", "ä" * 99])
def test_no_name_of_a_gate_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ConfigError):
        _safe(name)
    assert _safe("key_frame_0.png") == "key_frame_0.png"


def _head(client: Client, output: Output) -> dict[str, str]:
    key = client._core.settings.key
    assert key is not None
    url = client._core.settings.base_url + output.url
    answered = client._http.head(url, headers={"authorization": f"Bearer {key.expose()}"})
    return dict(answered.headers)
