"""What happens while a part of a job is on its way from one datacenter to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from hyperscale.gate.models.orders import StopCause, StopOrder
from hyperscale.runtime.coordination import CoordinationUnavailableError, Lease, MemoryStore, Put, Write
from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1 import dispatch_pb2, job_pb2, record_pb2
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, refusal
from tests.unit.gate.test_fallback import CANCELLED, COMPLETED, away, cancelled, job, moves, stored
from tests.unit.gate.test_routing import tell

RUNNING, CANCELLING = job_pb2.JOB_STATUS_RUNNING, job_pb2.JOB_STATUS_CANCELLING


class SlowStore(MemoryStore):
    """Takes so long to write a move that something happens before the gate hears that it is written."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.meanwhile: Callable[[str], None] | None = None
        """Called once, with the identity of the job."""

    def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
        revision = super().commit(writes, guard)
        moved = next((job_id for job_id in map(_moved_job, writes) if job_id), None)
        meanwhile = self.meanwhile
        if moved is not None and meanwhile is not None:
            self.meanwhile = None
            meanwhile(moved)
        return revision


def _moved_job(write: Write) -> str | None:
    if not isinstance(write, Put) or not write.key.startswith("jobs/"):
        return None
    record = record_pb2.JobRecord.FromString(write.value)
    return record.job_id if record.routing.fallbacks else None


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
async def gate(start_gate: StartGate) -> GateInMemory:
    """A gate before three datacenters of which east does not answer."""
    gate = await start_gate("east", "north", "west", dispatch_deadline_seconds=2)
    for name in ("east", "north", "west"):
        tell(gate, name)
    gate.datacenters.on_cancel = cancelled
    return gate


@pytest.mark.requirement("AD-17.2")
async def test_another_part_that_begins_while_one_is_moved_goes_on(gate: GateInMemory, store: SlowStore) -> None:
    away(gate, "east")
    store.meanwhile = lambda job_id: gate.progress("west", job_id, 1, requests=1)
    job_id = await gate.submit(job(count=2, preferred=["east", "west"]))
    await gate.dispatched(job_id, "north", "west")
    assert gate.status(job_id) == RUNNING
    for name in ("north", "west"):
        gate.finish(name, job_id, requests=2)
    assert (await gate.ended(job_id)).status == COMPLETED


@pytest.mark.requirement("AD-17.2")
async def test_a_datacenter_that_reports_while_its_part_is_moved_keeps_it(gate: GateInMemory, store: SlowStore) -> None:
    away(gate, "east")
    store.meanwhile = lambda job_id: gate.progress("east", job_id, 1, requests=1)
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await until(lambda: gate.status(job_id) == RUNNING)
    await _stays(gate, job_id)
    gate.finish("east", job_id, requests=2)
    await _ends_in_east(gate, job_id)


@pytest.mark.requirement("AD-17.2")
async def test_a_datacenter_that_is_done_while_its_part_is_moved_has_done_it(
    gate: GateInMemory, store: SlowStore
) -> None:
    away(gate, "east")
    store.meanwhile = lambda job_id: gate.finish("east", job_id, requests=2)
    await _ends_in_east(gate, await gate.submit(job(count=1, preferred=["east"])))


async def test_a_move_of_which_nobody_knows_whether_it_is_written_is_taken_back(
    gate: GateInMemory, store: SlowStore
) -> None:
    def fail(job_id: str) -> None:
        gate.progress("east", job_id, 1, requests=1)
        raise CoordinationUnavailableError("the answer was lost")

    away(gate, "east")
    store.meanwhile = fail
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await until(lambda: gate.status(job_id) == RUNNING)
    await _stays(gate, job_id)
    gate.finish("east", job_id, requests=2)
    await _ends_in_east(gate, job_id)


async def test_a_job_that_is_stopped_while_it_is_moved_goes_nowhere_else(gate: GateInMemory, store: SlowStore) -> None:
    def stop(job_id: str) -> None:
        run = gate.node.jobs.state.find(job_id)
        assert run is not None
        run.order_stop(StopOrder(StopCause.TIMEOUT, "too long", time.monotonic()))

    gate.datacenters.refusals["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    store.meanwhile = stop
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    assert (await gate.ended(job_id)).status == job_pb2.JOB_STATUS_TIMEOUT
    assert (list((await stored(gate, job_id)).datacenters), gate.datacenters.dispatches) == (["east"], {})


async def _stays(gate: GateInMemory, job_id: str) -> None:
    async def is_back() -> bool:
        record = await stored(gate, job_id)
        return list(record.datacenters) == ["east"] and not moves(record.routing)

    await until_answer(is_back)


async def _ends_in_east(gate: GateInMemory, job_id: str) -> None:
    result = await gate.ended(job_id)
    assert (result.status, [part.result.datacenter for part in result.datacenters]) == (COMPLETED, ["east"])
    assert sum(step.total_count for entry in result.statistics for step in entry.steps) == 2
    await _stays(gate, job_id)
    assert gate.datacenters.dispatches == {}


@pytest.mark.parametrize("reason", [ErrorReason.SYNCING, ErrorReason.NOT_LEADER, ErrorReason.COORDINATION_UNAVAILABLE])
async def test_an_answer_that_says_nothing_of_the_job_is_no_silence(gate: GateInMemory, reason: ErrorReason) -> None:
    """The manager has just come to lead, for instance, and does not know yet that it has the job."""
    begun: list[bool] = []

    def answer(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        begun.append(bool(gate.datacenters.dispatches))
        if len(begun) == 1:
            raise refusal(reason)
        return CANCELLED if len(begun) == 3 else CANCELLING

    gate.datacenters.on_cancel = answer
    gate.datacenters.refusals["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    job_id = await gate.submit(job(count=1, preferred=["east"], exclude=["north"]))
    await gate.dispatched(job_id, "west")
    assert begun == [False, False, False]


async def test_the_one_before_has_as_long_as_it_takes_to_stop(start_gate: StartGate) -> None:
    """Iterations under way have 30 s to end in, of which `stop_grace_seconds` knows nothing."""
    gate = await start_gate("east", "west", dispatch_deadline_seconds=2, stop_grace_seconds=0.1)
    begun: list[bool] = []

    def answer(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        begun.append(bool(gate.datacenters.dispatches))
        return CANCELLED if len(begun) == 3 else CANCELLING

    for name in ("east", "west"):
        tell(gate, name)
    gate.datacenters.on_cancel = answer
    gate.datacenters.refusals["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await gate.dispatched(job_id, "west")
    assert begun == [False, False, False]
