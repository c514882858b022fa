"""Real gates in front of a manager that the test drives."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from hyperscale.v1 import gate_ingest_service_pb2, gate_service_pb2, job_pb2, node_pb2, progress_pb2
from hyperscale.v1.gate_ingest_service_pb2_grpc import GateIngestServiceStub
from hyperscale.workload.timestamps import timestamp
from tests.integration.gate.fakes import (
    FakeManager,
    GateClient,
    GateProcess,
    Gates,
    client_of,
    connected,
)
from tests.support.waiting import until, until_answer
from tests.unit.gate.harness import measured, submission

COMPLETED, FAILED = job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED
CANCELLED, CANCELLING = job_pb2.JOB_STATUS_CANCELLED, job_pb2.JOB_STATUS_CANCELLING
RUNNING = job_pb2.JOB_STATUS_RUNNING


async def taken_over(manager: FakeManager, job_id: str) -> None:
    await until(lambda: job_id in manager.dispatches, f"{job_id} at {manager.datacenter}")


def run(manager: FakeManager, job_id: str, requests: int, sequence: int = 1) -> None:
    """Report a second of load."""
    now = int(time.time())
    progress = progress_pb2.JobProgress(
        job_id=job_id,
        datacenter=manager.datacenter,
        fence_token=manager.dispatches[job_id].fence_token,
        progress_sequence=sequence,
        status=RUNNING,
        statistics=measured(requests),
        started_at=timestamp(now),
    )
    push = progress_pb2.WindowedStatsPush(
        job_id=job_id, datacenter=manager.datacenter, window_start=timestamp(now), statistics=measured(requests)
    )
    manager.report(progress=progress)
    manager.report(window=push)


def end(manager: FakeManager, job_id: str, status: job_pb2.JobStatus.ValueType, requests: int) -> None:
    result = job_pb2.JobFinalResult(
        job_id=job_id,
        datacenter=manager.datacenter,
        status=status,
        statistics=measured(requests),
        fence_token=manager.dispatches[job_id].fence_token,
    )
    manager.report(final_result=result)


def details(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    info, faults = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(faults)
    return info, faults


@pytest.mark.requirement("AD-14.1")
async def test_a_job_runs_is_watched_and_resumed_to_its_exact_result(gates: Gates) -> None:
    gate = await gates.start("g1")
    async with FakeManager("east").serving(gate.address) as east, client_of(gate) as client:
        job_id = (await client.submit(submission("east"))).job_id
        await taken_over(east, job_id)
        run(east, job_id, requests=10)
        before: list[gate_service_pb2.JobEvent] = []
        async for event in client.watch(job_id):
            before.append(event)
            if event.HasField("window"):
                break
        assert before[-1].window.metrics["http_reqs"].values["count"] == 10
        end(east, job_id, COMPLETED, requests=25)
        after = [event async for event in client.watch(job_id, before[-1].sequence)]
        has_snapshot = after[0].HasField("snapshot")
        first = after[0].sequence if has_snapshot else before[-1].sequence + 1
        assert [event.sequence for event in before] == list(range(1, len(before) + 1))
        assert [event.sequence for event in after] == list(range(first, first + len(after)))
        assert after[-1].result.status == COMPLETED
        assert after[-1].result.metrics["http_reqs"].values["count"] == 25
        assert (await client.get(job_id)).result == after[-1].result
        await until(lambda: east.acked[gate.address] == 3, "every frame acknowledged")


async def test_a_cancelled_job_ends_cancelled_with_what_was_counted(gates: Gates) -> None:
    gate = await gates.start("g1")
    async with FakeManager("east").serving(gate.address) as east, client_of(gate) as client:
        job_id = (await client.submit(submission())).job_id
        await taken_over(east, job_id)
        assert await client.cancel(job_id) == CANCELLING
        await until(lambda: east.cancels, "the datacenter told")
        end(east, job_id, CANCELLED, requests=7)
        result = await client.ended(job_id)
        assert (result.status, result.metrics["http_reqs"].values["count"]) == (CANCELLED, 7)
        assert await client.cancel(job_id) == CANCELLED


async def test_a_killed_gate_shows_finished_jobs_and_fails_those_it_owned(gates: Gates) -> None:
    gate = await gates.start("g1")
    async with FakeManager("east").serving(gate.address) as east, client_of(gate) as client:
        finished = (await client.submit(submission("east"))).job_id
        await taken_over(east, finished)
        end(east, finished, COMPLETED, requests=3)
        result = await client.ended(finished)
        unfinished = (await client.submit(submission("east", key="kept"))).job_id
        cancelled = (await client.submit(submission("east"))).job_id
        for job_id in (unfinished, cancelled):
            await taken_over(east, job_id)
        await client.cancel(cancelled)
        gate.kill()
        gate = await gates.restart(gate)
        async with client_of(gate) as again:
            assert (await again.get(finished)).result == result
            failed = await again.ended(unfinished)
            assert failed.status == FAILED
            assert "gate g1 restarted" in failed.errors[0]
            assert (await again.ended(cancelled)).status == CANCELLED
            assert (await again.submit(submission("east", key="kept"))).job_id == unfinished
            events = [event async for event in again.watch(unfinished, 50)]
            assert (events[-1].sequence, events[-1].result.status) == (51, FAILED)

            def told() -> bool:
                return unfinished in {request.job_id for request in east.cancels}

            await until(told, "the datacenter told to stop")
            new = (await again.submit(submission("east"))).job_id
            await taken_over(east, new)


@pytest.mark.requirement("AD-40.1")
async def test_one_key_is_one_job_at_the_same_instant_through_two_gates(gates: Gates) -> None:
    first, second = await gates.start("g1"), await gates.start("g2")
    async with (
        FakeManager("east").serving(first.address, second.address) as east,
        client_of(first) as one,
        client_of(second) as two,
    ):
        job = submission("east", key="once")
        acks = await asyncio.gather(*(client.submit(job) for client in (one, two) * 8))
        assert len({ack.SerializeToString(deterministic=True) for ack in acks}) == 1
        listing = await two.stub.ListJobs(gate_service_pb2.ListJobsRequest(), timeout=30)
        assert [entry.job_id for entry in listing.jobs] == [acks[0].job_id]
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await two.submit(submission("east", key="once", vus=9))
        assert refusal.value.code() is grpc.StatusCode.ALREADY_EXISTS
        assert details(refusal.value)[0].reason == "IDEMPOTENCY_KEY_REUSED"
        await taken_over(east, acks[0].job_id)
        assert len(east.dispatches) == 1


async def test_every_gate_answers_for_a_job_and_passes_calls_on_to_its_owner(gates: Gates) -> None:
    owner, other = await gates.start("g1"), await gates.start("g2")
    async with FakeManager("east").serving(owner.address, other.address) as east, client_of(owner) as mine:
        job_id = (await mine.submit(submission("east"))).job_id
        await taken_over(east, job_id)
        run(east, job_id, requests=5)
        async with client_of(other) as client:

            async def counted() -> bool:
                return (await client.get(job_id)).metrics["http_reqs"].values["count"] == 5

            await until_answer(counted, "the live count through the other gate")
            assert (await client.get(job_id)).gate_id == "g1"
            watching = asyncio.ensure_future(_all_events(client, job_id))
            assert await client.cancel(job_id) == CANCELLING
            end(east, job_id, CANCELLED, requests=6)
            events = await asyncio.wait_for(watching, 15)
            assert events[-1].result.status == CANCELLED
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def _drained(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:
        continue


async def _all_events(client: GateClient, job_id: str) -> list[gate_service_pb2.JobEvent]:
    return [event async for event in client.watch(job_id)]


async def test_another_gate_ends_the_jobs_of_one_that_stays_away(gates: Gates) -> None:
    owner = await gates.start("g1", "--lease-ttl-seconds", "1")
    other = await gates.start("g2", "--lease-ttl-seconds", "1")
    async with FakeManager("east").serving(owner.address, other.address) as east:
        async with client_of(owner) as mine:
            job_id = (await mine.submit(submission("east"))).job_id
        await taken_over(east, job_id)
        owner.kill()
        async with client_of(other) as client:

            async def result() -> job_pb2.GlobalJobResult | None:
                page = await client.stub.ListJobs(gate_service_pb2.ListJobsRequest(), timeout=30)
                return (await client.get(job_id)).result if page.jobs[0].status == FAILED else None

            ended = await until_answer(result, "the end of the orphan")
            assert "gate g1, which owned the job, is gone" in ended.errors[0]
            await until(lambda: east.cancels, "the datacenter told")


async def test_faulty_submissions_leave_no_job(gates: Gates) -> None:
    gate = await gates.start("g1")
    async with FakeManager("east").serving(gate.address), client_of(gate) as client:
        faulty = submission(vus=0)
        faulty.target = "ftp://nowhere"
        faulty.workflows[0].depends_on.append("ghost")
        huge = submission()
        huge.workflows[0].steps[0].http.text = "x" * (6 * 1024 * 1024)
        expected = {
            "INVALID_ARGUMENT": (faulty, ["target", "workflows[0].constant_vus.vus", "workflows[0].depends_on"]),
            "SUBMISSION_TOO_LARGE": (huge, []),
            "UNKNOWN_DATACENTER": (submission("mars"), ["datacenters.required[0]"]),
        }
        for reason, (job, paths) in expected.items():
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await client.submit(job)
            assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            info, faults = details(refusal.value)
            assert info.reason == reason
            named = " ".join(violation.field for violation in faults.field_violations)
            assert all(path in named for path in paths), named
        assert "east" in (refusal.value.details() or "")
        assert not (await client.stub.ListJobs(gate_service_pb2.ListJobsRequest(), timeout=30)).jobs


async def test_a_manager_of_another_cluster_is_refused(gates: Gates) -> None:
    gate = await gates.start("g1")
    stranger = FakeManager("east", cluster_id="elsewhere")
    stranger.node.endpoint.CopyFrom(node_pb2.Endpoint(host="127.0.0.1", port=1))
    async with connected(gate.address) as channel:
        stub = GateIngestServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.RegisterManager(
                gate_ingest_service_pb2.ManagerRegistration(heartbeat=stranger.heartbeat()), timeout=30
            )
        assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert details(refusal.value)[0].reason == "WRONG_CLUSTER"


@pytest.mark.requirement("CLIENT.3")
async def test_datacenters_workflows_and_pings_are_answered_concurrently(gates: Gates) -> None:
    gate = await gates.start("g1")
    async with (
        FakeManager("east").serving(gate.address),
        FakeManager("west").serving(gate.address),
        client_of(gate) as client,
    ):
        listing, workflows, ping = await asyncio.gather(
            client.stub.ListDatacenters(gate_service_pb2.DatacenterListRequest(), timeout=30),
            client.stub.QueryWorkflows(gate_service_pb2.WorkflowQueryRequest(), timeout=30),
            client.stub.Ping(node_pb2.PingRequest(request_id="hello"), timeout=30),
        )
        assert [(info.datacenter, info.available) for info in listing.datacenters] == [("east", True), ("west", True)]
        assert [part.datacenter for part in workflows.datacenters] == ["east", "west"]
        assert all(part.workflows and not part.error for part in workflows.datacenters)
        assert (ping.request_id, ping.node.node_id, ping.node.state) == ("hello", "g1", node_pb2.NODE_STATE_ACTIVE)


async def test_a_silent_datacenter_fails_its_part_and_keeps_its_totals(gates: Gates) -> None:
    gate = await gates.start("g1", "--manager-loss-grace-seconds", "1")
    async with client_of(gate) as client:
        async with FakeManager("east").serving(gate.address) as east:
            job_id = (await client.submit(submission("east"))).job_id
            await taken_over(east, job_id)
            run(east, job_id, requests=12)
            await until(lambda: east.acked[gate.address] == 2, "the progress taken over")
        result = await client.ended(job_id)
        assert result.status == FAILED
        assert "no manager" in result.errors[0]
        assert result.metrics["http_reqs"].values["count"] == 12


async def test_sigterm_refuses_work_sends_watchers_away_and_exits_cleanly(gates: Gates) -> None:
    gate: GateProcess = await gates.start("g1", "--drain-timeout-seconds", "40")
    async with FakeManager("east").serving(gate.address) as east, client_of(gate) as client:
        job_id = (await client.submit(submission("east"))).job_id
        await taken_over(east, job_id)
        watch = client.watch(job_id)
        assert (await watch.read()).sequence == 1
        started = time.monotonic()
        code = await gate.terminate()
        assert (code, time.monotonic() - started < 30) == (0, True)
        with pytest.raises(grpc.aio.AioRpcError) as sent_away:
            await _drained(watch)
        assert sent_away.value.code() is grpc.StatusCode.UNAVAILABLE
        assert [request.job_id for request in east.cancels] == [job_id]
        restarted = await gates.restart(gate)
        async with client_of(restarted) as again:
            result = await again.ended(job_id)
            assert (result.status, result.errors[0].startswith("gate g1 was shut down")) == (FAILED, True)
