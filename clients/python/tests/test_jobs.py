"""Jobs at a real gate: submitted, followed, cancelled, listed, deleted, waited for too short."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest
from conftest import QUICK, Damage
from gate import Gate
from relay import Fault

from postern_client import (
    AsyncClient,
    Client,
    Code,
    JobCanceledError,
    JobInfo,
    JobTimeoutError,
    NotFoundError,
    RequestError,
    jobs,
)

# Ends when it is cancelled.
FOREVER = {"delay_ms": 60_000}


def test_a_short_job_is_answered_in_one_request(damage: Damage) -> None:
    client, relay = damage.behind()
    assert client.call("/v1/echo", {"message": {"a": [1]}})["message"] == {"a": [1]}
    assert len(relay.heads) == 1
    assert "prefer: wait=10" in relay.heads[0].lower()


def test_a_longer_job_becomes_202_and_is_followed(
    damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GATE_WAIT_S", 1)
    client, relay = damage.behind(Fault("GET /v1/jobs/", cut_bytes=20))
    result = client.call("/v1/echo", {"message": "later", "delay_ms": 2_500})
    assert result["message"] == "later"
    assert len(relay.asked("POST")) == 1, "it was sent once"
    assert len(relay.asked("GET /v1/jobs/job_")) >= 2, "also over a connection that broke"


def test_progress_is_told_while_a_job_runs(client: Client) -> None:
    seen: list[JobInfo] = []
    client.call("/v1/echo", {"delay_ms": 300}, on_progress=seen.append)
    assert [job.is_final for job in seen] == [False] * (len(seen) - 1) + [True]
    assert len({job.id for job in seen}) == 1


def test_a_job_is_cancelled(client: Client) -> None:
    job = client.submit("/v1/echo", FOREVER)
    assert not job.info.is_final
    job.cancel()
    with pytest.raises(JobCanceledError) as caught:
        job.wait()
    assert caught.value.job.id == job.id
    assert job.refresh().state == "canceled"
    assert job.cancel().state == "canceled", "twice is no fault"


def test_a_timeout_leaves_the_job_and_says_which(client: Client) -> None:
    job = client.submit("/v1/echo", FOREVER)
    with pytest.raises(JobTimeoutError) as caught:
        job.wait(timeout_s=0.2)
    again = client.jobs.get(caught.value.job.id)
    assert again.state in ("queued", "loading", "running")
    assert again.cancel().id == job.id


def test_jobs_are_listed_by_state_and_service(client: Client) -> None:
    job = client.submit("/v1/echo", FOREVER)
    while job.refresh().state != "running":
        time.sleep(0.02)
    assert job.id in [one.id for one in client.jobs.list(state="running", service="echo")]
    assert job.id not in [one.id for one in client.jobs.list(service="vision")]
    assert len(client.jobs.list(limit=1)) == 1
    with pytest.raises(RequestError) as caught:
        job.delete()
    assert caught.value.code == Code.JOB_ACTIVE
    job.cancel()
    with pytest.raises(JobCanceledError):
        job.wait()
    job.delete()
    job.delete()
    with pytest.raises(NotFoundError) as gone:
        client.jobs.get(job.id)
    assert gone.value.code == Code.JOB_NOT_FOUND


def test_lists_go_over_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        client.call("/v1/echo", {"message": number})
    whole = [job.id for job in client.jobs.list(limit=3)]
    monkeypatch.setattr(jobs, "PAGE_MAX", 1)
    assert [job.id for job in client.jobs.list(limit=3)] == whole
    assert len(set(whole)) == 3


def test_a_name_in_a_path_is_quoted(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.jobs.get("../models")


def test_the_async_client_has_the_same_jobs(gate: Gate) -> None:
    async def run() -> None:
        async with AsyncClient(gate.url, gate.key, retries=QUICK) as client:
            job = await client.submit("/v1/echo", FOREVER)
            with pytest.raises(JobTimeoutError):
                await job.wait(timeout_s=0.1)
            assert (await client.jobs.get(job.id)).id == job.id
            await job.cancel()
            with pytest.raises(JobCanceledError):
                await job.wait()
            assert job.id in [one.id for one in await client.jobs.list(limit=5)]
            await job.delete()
            with pytest.raises(NotFoundError):
                await job.refresh()

    asyncio.run(run())


def test_a_cancelled_coroutine_leaves_the_client_usable(gate: Gate) -> None:
    async def run() -> object:
        async with AsyncClient(gate.url, gate.key, retries=QUICK) as client:
            job = await client.submit("/v1/echo", FOREVER)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(job.wait(), 0.2)
            await job.cancel()
            return await client.call("/v1/echo", {"message": "still here"})

    answered = asyncio.run(run())
    assert isinstance(answered, dict)
    assert answered["message"] == "still here"


def test_ctrl_c_cancels_the_job_of_a_waiting_call(client: Client) -> None:
    seen: list[JobInfo] = []

    def interrupt_later(job: JobInfo) -> None:
        if not seen:
            main = threading.main_thread().ident or 0
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        seen.append(job)

    with pytest.raises(KeyboardInterrupt):
        client.call("/v1/echo", FOREVER, on_progress=interrupt_later)
    with pytest.raises(JobCanceledError):
        client.jobs.get(seen[0].id).wait()


def test_a_task_that_ends_cancels_the_job_of_its_call(gate: Gate) -> None:
    seen: list[JobInfo] = []

    async def run() -> None:
        async with AsyncClient(gate.url, gate.key, retries=QUICK) as client:
            call = client.call("/v1/echo", FOREVER, on_progress=seen.append)
            task = asyncio.ensure_future(call)
            while not seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(JobCanceledError):
                await (await client.jobs.get(seen[0].id)).wait()

    asyncio.run(run())


def test_a_gate_that_is_away_does_not_hold_up_ctrl_c(damage: Damage) -> None:
    client, relay = damage.behind(Fault("/cancel", refuse=True))

    def interrupt(_: JobInfo) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.call("/v1/echo", FOREVER, on_progress=interrupt)
    assert len(relay.asked("/cancel")) == 1
