"""What the gate does with a part of a job that a datacenter does not take over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hyperscale.gate.models.orders import CallOrigin
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, record_pb2, routing_pb2
from tests.support.waiting import until
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, make_gate, refusal, submission
from tests.unit.gate.test_routing import tell
from tests.unit.gate.test_stages import made, staged

COMPLETED = job_pb2.JOB_STATUS_COMPLETED
CANCELLED = job_pb2.JOB_STATUS_CANCELLED
FAILED = job_pb2.JOB_STATUS_FAILED


def job(**selection: Any) -> job_pb2.JobSubmission:
    asked = submission(vus=6)
    asked.datacenters.CopyFrom(job_pb2.DatacenterSelection(**selection))
    return asked


async def stored(gate: GateInMemory, job_id: str) -> record_pb2.JobRecord:
    record = await gate.node.jobs.store.get(job_id)
    assert record is not None
    return record


def moves(decision: routing_pb2.RoutingDecision) -> list[tuple[str, str]]:
    return [(move.from_datacenter, move.to_datacenter) for move in decision.fallbacks]


def cancelled(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
    """The answer of a datacenter that never had the job."""
    return CANCELLED


async def before_three(start_gate: StartGate, *, free_cores: Sequence[int] = (2, 2, 2)) -> GateInMemory:
    """A gate before three datacenters that confirm cancellations at once; of equals it likes east best."""
    gate = await start_gate("east", "north", "west", dispatch_deadline_seconds=2)
    for name, free in zip(("east", "north", "west"), free_cores, strict=True):
        tell(gate, name, free=free)
    gate.datacenters.on_cancel = cancelled
    return gate


@pytest.fixture
async def gate(start_gate: StartGate) -> GateInMemory:
    return await before_three(start_gate)


def away(gate: GateInMemory, *datacenters: str) -> None:
    for name in datacenters:
        gate.datacenters.answers[f"{name}:1"] = refusal(ErrorReason.PEER_UNREACHABLE)


@pytest.mark.requirement("AD-17.2")
async def test_a_part_goes_along_the_chain_until_a_datacenter_takes_it_over(gate: GateInMemory) -> None:
    committed: list[record_pb2.JobRecord] = []

    def note(address: str, dispatch: dispatch_pb2.JobDispatch) -> None:
        run = gate.node.jobs.state.find(dispatch.job_id)
        assert run is not None
        committed.append(run.record)

    gate.datacenters.on_dispatch = note
    await gate.submit(job(count=1, preferred=["north"]))
    away(gate, "east", "west")
    job_id = await gate.submit(job(count=1, exclude=["north"]))
    first = (await stored(gate, job_id)).datacenters[0]
    second = "west" if first == "east" else "east"
    gate.datacenters.answers.pop(f"{second}:1")
    await gate.dispatched(job_id, second)
    assert list(committed[-1].datacenters) == [second]
    record = await stored(gate, job_id)
    assert list(record.datacenters) == [second]
    assert moves(record.routing) == [(first, second)]
    assert record.routing.fallbacks[0].reason.startswith("it has not taken the job over: ")
    assert record.routing.candidates[0].datacenter == first
    gate.finish(second, job_id, requests=7)
    result = await gate.ended(job_id)
    assert (result.status, [part.result.datacenter for part in result.datacenters]) == (COMPLETED, [second])
    assert list(result.fallbacks) == list(record.routing.fallbacks)
    assert sum(step.total_count for entry in result.statistics for step in entry.steps) == 7


async def test_the_share_moves_whole_and_the_others_keep_theirs(gate: GateInMemory) -> None:
    away(gate, "east")
    asked = job(count=2, preferred=["east", "west"])
    asked.distribution = job_pb2.DISTRIBUTION_SPLIT
    asked.workflows[0].constant_vus.vus = 7
    job_id = await gate.submit(asked)
    await gate.dispatched(job_id, "north", "west")
    shares = {
        name: gate.datacenters.dispatches[f"{name}:1", job_id].submission.workflows[0].constant_vus.vus
        for name in ("north", "west")
    }
    candidates = (await stored(gate, job_id)).routing.candidates
    assert shares == {"north": 4, "west": 3} if candidates[0].datacenter == "east" else {"north": 3, "west": 4}
    status = await gate.node.desk.get(gate_service_pb2.GetJobRequest(job_id=job_id), CallOrigin.CLIENT)
    assert {part.datacenter for part in status.datacenters} == {"north", "west"}
    for name in ("north", "west"):
        gate.finish(name, job_id, requests=3)
    result = await gate.ended(job_id)
    assert (result.status, len(result.datacenters)) == (COMPLETED, 2)


async def test_when_nobody_is_left_the_job_fails_with_every_reason(gate: GateInMemory) -> None:
    gate.node.jobs.registry.leave("manager-north", gate.node.jobs.registry.session_of("manager-north") or 0)
    away(gate, "east", "west")
    job_id = await gate.submit(job(count=1))
    result = await gate.ended(job_id)
    assert result.status == FAILED
    (error,) = result.errors
    for name in ("east", "west"):
        assert f"{name}: " in error
    assert error.count("not taken the job over") == 2
    assert "north: none of its managers is connected" in error
    assert len(moves((await stored(gate, job_id)).routing)) == len(result.fallbacks) == 1


async def test_required_datacenters_are_never_replaced(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=0.2)
    away(gate, "east")
    job_id = await gate.submit(submission("east"))
    result = await gate.ended(job_id)
    assert (result.status, list((await stored(gate, job_id)).datacenters)) == (FAILED, ["east"])
    assert ("west:1", job_id) not in gate.datacenters.dispatches


async def test_a_datacenter_that_a_threshold_is_on_is_not_replaced(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=0.2)
    for name in ("east", "west"):
        tell(gate, name)
    away(gate, "east")
    asked = job(count=1, preferred=["east"])
    asked.thresholds.add(metric="http_reqs{datacenter:east}", expression="count > 0")
    job_id = await gate.submit(asked)
    assert (await gate.ended(job_id)).status == FAILED
    assert not (await stored(gate, job_id)).routing.fallbacks


async def test_a_refusal_of_the_job_itself_moves_nothing(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = HyperscaleError(ErrorReason.INVALID_ARGUMENT, "no such thing")
    result = await gate.ended(await gate.submit(job(count=1, preferred=["east"])))
    assert (result.status, list(result.errors)) == (FAILED, ["east: the datacenter refused the job: no such thing"])


async def test_the_next_one_waits_while_the_one_before_stops_what_it_has_all_the_same(gate: GateInMemory) -> None:
    """Its answer was lost."""
    answers = [job_pb2.JOB_STATUS_CANCELLING, job_pb2.JOB_STATUS_CANCELLING, CANCELLED]
    dispatched_before: list[bool] = []

    def stopping(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        dispatched_before.append(bool(gate.datacenters.dispatches))
        return answers.pop(0)

    gate.datacenters.on_cancel = stopping
    gate.datacenters.refusals["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    job_id = await gate.submit(job(count=1, preferred=["east"], exclude=["north"]))
    await gate.dispatched(job_id, "west")
    assert (answers, dispatched_before) == ([], [False, False, False])
    gate.progress("east", job_id, 1, requests=50)
    gate.finish("east", job_id, CANCELLED, requests=50)
    gate.finish("west", job_id, requests=5)
    result = await gate.ended(job_id)
    assert (result.status, [part.result.datacenter for part in result.datacenters]) == (COMPLETED, ["west"])
    assert sum(step.total_count for entry in result.statistics for step in entry.steps) == 5


async def test_a_datacenter_that_reports_the_job_has_it(gate: GateInMemory) -> None:
    def reporting(address: str, request: dispatch_pb2.JobDispatch) -> None:
        gate.progress("east", request.job_id, 1, requests=1)

    gate.datacenters.on_dispatch = reporting
    gate.datacenters.lost_answers.add("east:1")
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await gate.dispatched(job_id, "east")
    await until(lambda: gate.status(job_id) == job_pb2.JOB_STATUS_RUNNING)
    gate.finish("east", job_id, requests=2)
    assert (await gate.ended(job_id)).status == COMPLETED
    assert not (await stored(gate, job_id)).routing.fallbacks


async def test_one_that_was_out_of_reach_is_told_to_cancel_once_it_is_back(gate: GateInMemory) -> None:
    gate.node.jobs.registry.leave("manager-east", gate.node.jobs.registry.session_of("manager-east") or 0)
    away(gate, "west")
    job_id = await gate.submit(job(count=1, preferred=["west"], exclude=["east"]))
    await gate.dispatched(job_id, "north")
    del gate.datacenters.answers["west:1"]
    await gate.connect("west")
    await until(lambda: ("west:1", job_id) in [(where, told.job_id) for where, told in gate.datacenters.cancels])


async def test_a_gate_that_restarts_tells_all_that_may_have_the_job(gate: GateInMemory, store: MemoryStore) -> None:
    away(gate, "east")
    job_id = await gate.submit(job(count=1, preferred=["east"], exclude=["north"]))
    await gate.dispatched(job_id, "west")
    await gate.supervisor.stop(5)
    again = make_gate(store, "g1")
    again.datacenters.on_cancel = cancelled
    await again.connect("east", "west")
    await again.node.recover()
    await until(lambda: {where for where, _ in again.datacenters.cancels} == {"east:1", "west:1"})
    record = await stored(again, job_id)
    assert (record.status, moves(record.routing)) == (FAILED, [("east", "west")])
    await again.supervisor.stop(5)


async def test_a_job_that_is_cancelled_on_the_way_goes_nowhere_else(gate: GateInMemory) -> None:
    gate.datacenters.on_cancel = lambda address, request: job_pb2.JOB_STATUS_CANCELLING
    gate.datacenters.refusals["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await until(lambda: bool(gate.datacenters.cancels))
    gate.datacenters.on_cancel = cancelled
    await gate.node.desk.cancel(dispatch_pb2.JobCancelRequest(job_id=job_id), CallOrigin.CLIENT)
    assert (await gate.ended(job_id)).status == CANCELLED
    assert not gate.datacenters.dispatches


async def test_a_setup_moves_and_with_it_the_load_but_no_load_leaves_its_setup(gate: GateInMemory) -> None:
    away(gate, "east")
    asked = staged()
    asked.datacenters.CopyFrom(job_pb2.DatacenterSelection(count=1, preferred=["east"], exclude=["north"]))
    job_id = await gate.submit(asked)
    await gate.dispatched(f"{job_id}.setup", "west")
    away(gate, "west")
    gate.datacenters.answers.pop("east:1")
    gate.finish("west", f"{job_id}.setup", provided=[made("shop.setup")])
    result = await gate.ended(job_id)
    assert result.status == FAILED
    record = await stored(gate, job_id)
    assert (list(record.datacenters), moves(record.routing)) == (["west"], [("east", "west")])
    assert {address for address, _ in gate.datacenters.dispatches} == {"west:1"}
