"""One call, as a user of the client sees it: sent safely, repeated where that is right, refused with all facts."""

from __future__ import annotations

import socket
import time
from collections import deque

import grpc
import pytest

from hyperscale.client import (
    CallRefusedError,
    Client,
    ClientSettings,
    GateUnreachableError,
    JobNotFinishedError,
    SubmissionTooLargeError,
    SyncClient,
)
from hyperscale.v1.job_pb2 import GlobalJobResult, JobSubmission, Verdict
from hyperscale.v1.protocol import CAPABILITIES, MAX_SUBMISSION_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR
from tests.integration.client.scripted_gate import (
    JOB_ID,
    Script,
    ScriptedError,
    result_event,
    serving,
    status_event,
)

FAST = ClientSettings(
    call_timeout_seconds=10.0, reach_timeout_seconds=1.5, backoff_initial_seconds=0.01, backoff_max_seconds=0.05
)
BUSY = ScriptedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_JOBS", retry_after_seconds=0.3)
STARTING = ScriptedError(grpc.StatusCode.UNAVAILABLE, "NOT_READY")
LATE = ScriptedError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


def dead_address() -> str:
    """An address nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.requirement("CLIENT.1")
async def test_submission_above_the_limit_is_not_sent() -> None:
    script = Script()
    async with serving(script) as address, Client([address], FAST) as client:
        with pytest.raises(SubmissionTooLargeError) as refusal:
            await client.submit(JobSubmission(name="x" * (MAX_SUBMISSION_BYTES + 1)))
    assert refusal.value.limit_bytes == MAX_SUBMISSION_BYTES
    assert refusal.value.size_bytes > MAX_SUBMISSION_BYTES
    assert script.submissions == []


@pytest.mark.requirement("AD-25.1")
@pytest.mark.requirement("CLIENT.1")
async def test_client_says_what_it_speaks_and_keeps_what_both_do() -> None:
    script = Script()
    async with serving(script) as address, Client([address], FAST) as client:
        before = client.capabilities
        await client.datacenters()
        assert before is None
        assert client.capabilities == frozenset({"watch_resume", "idempotency_keys"})
        assert client.gate_protocol == "1.7"
    (metadata,) = script.metadata
    assert metadata["hyperscale-protocol"] == f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"
    assert set(str(metadata["hyperscale-capabilities"]).split(",")) == CAPABILITIES


@pytest.mark.requirement("CLIENT.1")
@pytest.mark.parametrize("error", [BUSY, STARTING, LATE], ids=lambda error: error.reason)
async def test_transient_errors_are_retried_under_one_key(error: ScriptedError) -> None:
    script = Script(errors=deque([error, error]))
    async with serving(script) as address, Client([address], FAST) as client:
        ack = await client.submit(JobSubmission(name="job"))
    assert ack.job_id == JOB_ID
    keys = [submission.idempotency_key for submission in script.submissions]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.requirement("CLIENT.1")
async def test_retry_info_is_obeyed() -> None:
    script = Script(errors=deque([BUSY]))
    async with serving(script) as address, Client([address], FAST) as client:
        started = time.monotonic()
        await client.submit(JobSubmission())
    assert time.monotonic() - started >= 0.3


@pytest.mark.requirement("CLIENT.1")
async def test_retries_end_before_the_deadline() -> None:
    script = Script(errors=deque([BUSY] * 100))
    settings = ClientSettings(call_timeout_seconds=1.0)
    async with serving(script) as address, Client([address], settings) as client:
        started = time.monotonic()
        with pytest.raises(CallRefusedError) as refusal:
            await client.submit(JobSubmission())
    assert time.monotonic() - started < 10
    assert refusal.value.reason == "TOO_MANY_JOBS"
    assert refusal.value.retry_after_seconds == pytest.approx(0.3)


@pytest.mark.requirement("CLIENT.1")
async def test_exhaustion_without_retry_info_is_final() -> None:
    script = Script(errors=deque([ScriptedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_JOBS")]))
    async with serving(script) as address, Client([address], FAST) as client:
        with pytest.raises(CallRefusedError):
            await client.submit(JobSubmission())
    assert len(script.submissions) == 1


@pytest.mark.requirement("CLIENT.1")
async def test_leader_hint_is_followed_and_remembered() -> None:
    leader, follower = Script(), Script()
    async with serving(leader) as leader_address, serving(follower) as address, Client([address], FAST) as client:
        follower.errors.append(ScriptedError(grpc.StatusCode.FAILED_PRECONDITION, "NOT_OWNER", leader=leader_address))
        await client.submit(JobSubmission())
        await client.submit(JobSubmission())
    assert len(follower.submissions) == 1
    assert len(leader.submissions) == 2


@pytest.mark.requirement("CLIENT.1")
async def test_own_idempotency_key_is_kept_and_the_submission_unchanged() -> None:
    script = Script()
    submission = JobSubmission(name="job")
    async with serving(script) as address, Client([address], FAST) as client:
        await client.submit(submission, idempotency_key="mine")
        await client.submit(submission)
    assert script.submissions[0].idempotency_key == "mine"
    assert script.submissions[1].idempotency_key not in {"", "mine"}
    assert submission == JobSubmission(name="job")


async def test_refusal_carries_every_fault_with_its_path() -> None:
    faults = [("workflows[0].steps", "is required"), ("timeout", "must be positive")]
    script = Script(
        errors=deque([ScriptedError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", violations=faults)])
    )
    async with serving(script) as address, Client([address], FAST) as client:
        with pytest.raises(CallRefusedError) as refusal:
            await client.submit(JobSubmission())
    assert [(fault.path, fault.message) for fault in refusal.value.violations] == faults
    assert len(script.submissions) == 1


async def test_dead_gate_is_passed_over() -> None:
    script = Script()
    async with serving(script) as address, Client([dead_address(), address], FAST) as client:
        started = time.monotonic()
        await client.submit(JobSubmission())
    assert time.monotonic() - started < 10


async def test_silence_of_every_gate_names_every_address() -> None:
    addresses = (dead_address(), dead_address())
    async with Client(addresses, FAST) as client:
        started = time.monotonic()
        with pytest.raises(GateUnreachableError) as failure:
            await client.jobs()
    assert time.monotonic() - started < 10
    assert failure.value.addresses == addresses


async def test_gate_that_accepts_but_never_speaks_is_passed_over() -> None:
    script = Script()
    settings = ClientSettings(connect_timeout_seconds=0.5, reach_timeout_seconds=1.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = f"127.0.0.1:{mute.getsockname()[1]}"
        async with serving(script) as address, Client([silent, address], settings) as client:
            await client.submit(JobSubmission())
    assert len(script.submissions) == 1


async def test_jobs_are_paged() -> None:
    async with serving(Script()) as address, Client([address], FAST) as client:
        jobs = await client.jobs(limit=250)
    assert [job.job_id for job in jobs] == [f"job-{number}" for number in range(250)]


async def test_result_of_a_running_job_is_an_error_unless_waited_for() -> None:
    script = Script(events=[status_event(1), result_event(2)])
    async with serving(script) as address, Client([address], FAST) as client:
        with pytest.raises(JobNotFinishedError) as unfinished:
            await client.result(JOB_ID)
        assert unfinished.value.status == "running"
        assert (await client.result(JOB_ID, wait_seconds=5)).verdict == Verdict.VERDICT_PASSED
        script.result = GlobalJobResult(verdict=Verdict.VERDICT_FAILED)
        assert (await client.result(JOB_ID)).verdict == Verdict.VERDICT_FAILED


@pytest.mark.requirement("CLIENT.3")
async def test_workflows_are_queried_by_datacenter() -> None:
    async with serving(Script()) as address, Client([address], FAST) as client:
        one, other = await client.query_workflows(JOB_ID, ["browse"])
    assert [workflow.workflow_name for workflow in one.workflows] == ["browse"]
    assert (other.datacenter, other.error) == ("dc-2", "no manager answers")


@pytest.mark.requirement("CLIENT.3")
async def test_datacenters_are_listed() -> None:
    async with serving(Script()) as address, Client([address], FAST) as client:
        (info,) = await client.datacenters()
    assert (info.datacenter, info.available, info.total_cores) == ("dc-1", True, 4)


async def test_cancel_answers_with_the_status() -> None:
    script = Script()
    async with serving(script) as address, Client([address], FAST) as client:
        await client.cancel(JOB_ID)
    assert script.cancelled == [JOB_ID]


def test_blocking_client_outside_an_event_loop(threaded_gate: str) -> None:
    with SyncClient([threaded_gate], FAST) as client:
        assert client.submit(JobSubmission()).job_id == JOB_ID
        assert [event.sequence for event in client.watch(JOB_ID)] == [1, 2]
        assert client.result(JOB_ID, wait_seconds=5).verdict == Verdict.VERDICT_PASSED
        assert [info.datacenter for info in client.datacenters()] == ["dc-1"]
        assert len(client.jobs(limit=3)) == 3
        assert client.cancel(JOB_ID).job_id == JOB_ID
        assert client.get(JOB_ID).job_id == JOB_ID
        assert [part.datacenter for part in client.query_workflows()] == ["dc-1", "dc-2"]
