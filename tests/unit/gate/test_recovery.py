"""Jobs whose gate is gone, and datacenters that do not know yet."""

import asyncio

import pytest

from hyperscale.gate.models.orders import CallOrigin
from hyperscale.gate.orphans import OrphanAlarm
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.swim.events import MemberDied
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2
from tests.support.waiting import until
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, submission

FAILED, CANCELLED = job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED


async def crash(gate: GateInMemory) -> None:
    """End everything the gate does, as a kill would: nothing is written any more."""
    await gate.supervisor.stop(1)


async def answer(gate: GateInMemory, job_id: str) -> job_pb2.GlobalJobStatus:
    return await gate.node.desk.get(gate_service_pb2.GetJobRequest(job_id=job_id), CallOrigin.CLIENT)


async def test_after_a_restart_unfinished_jobs_are_failed_and_finished_ones_readable(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    finished = await gate.submit(submission("east"))
    await gate.dispatched(finished, "east")
    gate.finish("east", finished, requests=9)
    result = await gate.ended(finished)
    unfinished = await gate.submit(submission())
    await gate.dispatched(unfinished, "east", "west")
    fence = gate.fence(unfinished)
    await crash(gate)

    restarted = await start_gate()
    assert (await answer(restarted, finished)).result == result
    status = await answer(restarted, unfinished)
    assert status.status == FAILED
    assert list(status.result.errors) == ["gate g1 restarted while the job was under way"]
    assert [(part.datacenter, part.status) for part in status.datacenters] == [("east", FAILED), ("west", FAILED)]
    await restarted.connect("east", "west")
    await until(lambda: len(restarted.datacenters.cancels) == 2)
    assert {request.job_id for _, request in restarted.datacenters.cancels} == {unfinished}
    assert all(request.fence_token > fence for _, request in restarted.datacenters.cancels)


async def test_an_acknowledged_cancellation_survives_the_gate(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    job_id = await gate.submit(submission("east"))
    await gate.node.desk.cancel(dispatch_pb2.JobCancelRequest(job_id=job_id), CallOrigin.CLIENT)
    await crash(gate)
    restarted = await start_gate("east")
    status = await answer(restarted, job_id)
    assert (status.status, status.result.verdict) == (CANCELLED, job_pb2.VERDICT_FAILED)


async def test_jobs_of_a_gate_that_stays_away_are_ended_by_another(start_gate: StartGate, store: MemoryStore) -> None:
    gate = await start_gate("east", lease_ttl_seconds=0.2)
    other = await start_gate("east", node_id="g2", lease_ttl_seconds=0.2)
    job_id = await gate.submit(submission("east"))
    await other.node.recovery.end_orphans_once(other.node.others.orphans)
    assert (await answer(gate, job_id)).status not in {FAILED, CANCELLED}
    await crash(gate)
    result = await other.ended(job_id)
    assert result.status == FAILED
    assert list(result.errors) == ["gate g1, which owned the job, is gone"]
    await until(lambda: other.datacenters.cancels)


async def test_a_datacenter_that_reports_an_ended_job_is_told_to_stop_it(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    job_id = await gate.submit(submission("east"))
    await gate.dispatched(job_id, "east")
    fence = gate.fence(job_id)
    gate.finish("east", job_id)
    await gate.ended(job_id)
    await until(lambda: not len(gate.node.jobs.state))
    gate.progress("east", job_id, 7, 7, fence_token=fence)
    await until(lambda: [request.job_id for _, request in gate.datacenters.cancels] == [job_id])
    gate.progress("east", "never-heard-of", 1, 1, fence_token=3)
    await until(lambda: [request.job_id for _, request in gate.datacenters.cancels] == [job_id, "never-heard-of"])


async def test_a_draining_gate_ends_its_jobs_and_sends_watchers_away(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    job_id = await gate.submit(submission("east"))
    await gate.dispatched(job_id, "east")
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    watch = run.events.watch(run.events.last_sequence, run.snapshot)
    gate.node.lifecycle.drain()
    await gate.node.drain.end_jobs(timeout_seconds=5)
    with pytest.raises(HyperscaleError) as caught:
        await anext(watch)
    assert caught.value.reason is ErrorReason.DRAINING
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert list(result.errors) == ["gate g1 was shut down while the job was under way"]
    assert [request.job_id for _, request in gate.datacenters.cancels] == [job_id]
    await until(lambda: not len(gate.node.jobs.state))


async def test_a_forwarded_call_is_not_forwarded_again(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    other = await start_gate("east", node_id="g2")
    job_id = await gate.submit(submission("east"))
    request = gate_service_pb2.GetJobRequest(job_id=job_id)
    with pytest.raises(HyperscaleError) as caught:
        await other.node.desk.get(request, CallOrigin.GATE)
    assert caught.value.reason is ErrorReason.NOT_OWNER
    assert caught.value.leader == "127.0.0.1:1"


async def test_an_unknown_job_is_not_found(start_gate: StartGate) -> None:
    gate = await start_gate()
    for job_id in ("", "nobody", "\x00" * 900):
        with pytest.raises(HyperscaleError) as caught:
            await answer(gate, job_id)
        assert caught.value.reason is ErrorReason.JOB_NOT_FOUND


async def test_the_death_of_a_gate_hastens_the_search_for_its_jobs() -> None:
    who = Identity("g2", Role.GATE, NodeAddress("h", 1), "c", "e", "local")
    died = MemberDied(Member(who, MemberState.DEAD, 1, b"", 0, None, 0.0), "g3")
    alarm = OrphanAlarm(60.0, SystemClock())
    waiting = asyncio.ensure_future(alarm.next())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    alarm.member_changed(died)
    await asyncio.wait_for(waiting, 30)
    # Its leases have not run out yet, so that one more search is not enough.
    await asyncio.wait_for(alarm.next(), 30)
