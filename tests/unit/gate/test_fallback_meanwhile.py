"""What happens while a part of a job is on its way from one datacenter to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from hyperscale.gate.models.orders import StopCause, StopOrder
from hyperscale.runtime.coordination import CoordinationUnavailableError, Lease, MemoryStore, Put, Write
from hyperscale.runtime.errors import LEADER_KEY, ErrorReason
from hyperscale.v1 import dispatch_pb2, job_pb2, record_pb2
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, make_gate, refusal, submission
from tests.unit.gate.test_datacenter_calls import join
from tests.unit.gate.test_fallback import CANCELLED, COMPLETED, away, before_three, cancelled, job, moves, stored
from tests.unit.gate.test_routing import tell
from tests.unit.gate.test_stages import made, staged

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
    return await before_three(start_gate)


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


@pytest.mark.requirement("AD-17.2")
async def test_a_leader_that_hangs_is_given_up_though_its_followers_answer(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=60)
    for host in ("one", "two"):
        await join(gate, host)
        gate.datacenters.answers[f"{host}:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "east:1"})
    for name in ("east", "west"):
        tell(gate, name)
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await gate.dispatched(job_id, "west")
    assert moves((await stored(gate, job_id)).routing) == [("east", "west")]


@pytest.mark.requirement("AD-17.2")
async def test_a_datacenter_is_not_replaced_while_one_of_its_managers_takes_the_part(gate: GateInMemory) -> None:
    await join(gate, "one")
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await until(lambda: ("one:1", job_id) in gate.datacenters.dispatches)
    gate.finish("east", job_id, requests=2)
    assert (await gate.ended(job_id)).status == COMPLETED
    assert not (await stored(gate, job_id)).routing.fallbacks


@pytest.mark.parametrize(("reason", "cooldown"), [(ErrorReason.TOO_MANY_JOBS, 1.0), (ErrorReason.DRAINING, 2.0)])
async def test_a_datacenter_that_takes_no_more_jobs_is_not_waited_for(
    start_gate: StartGate, reason: ErrorReason, cooldown: float
) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=60)
    for name in ("east", "west"):
        tell(gate, name)
    gate.datacenters.on_cancel = cancelled
    gate.datacenters.refusals["east:1"] = refusal(reason)
    await gate.dispatched(await gate.submit(job(count=1, preferred=["east"])), "west")
    later = (await stored(gate, await gate.submit(job(count=1)))).routing
    assert {one.datacenter: one.score.cooldown for one in later.candidates} == {"east": cooldown, "west": 1.0}


async def test_one_that_was_cut_off_for_longer_than_it_is_told_stops_when_it_reports(start_gate: StartGate) -> None:
    gate = await start_gate(
        "east", "west", dispatch_deadline_seconds=2, cancel_delivery_seconds=0.3, circuit_half_open_after_seconds=0.2
    )
    for name in ("east", "west"):
        tell(gate, name)
    away(gate, "east")
    job_id = await gate.submit(job(count=1, preferred=["east"]))
    await gate.dispatched(job_id, "west")
    await until(lambda: gate.node.jobs.courier.pending_count == 0)
    del gate.datacenters.answers["east:1"]
    gate.progress("west", job_id, 1, requests=1)
    gate.progress("east", job_id, 1, requests=1)
    await until(lambda: bool(gate.datacenters.cancels))
    assert [(where, told.job_id) for where, told in gate.datacenters.cancels] == [("east:1", job_id)]
    gate.finish("west", job_id, requests=2)
    assert (await gate.ended(job_id)).status == COMPLETED


async def test_one_that_was_given_up_stops_when_it_reports(start_gate: StartGate) -> None:
    gate = await start_gate(
        "east", "west", dispatch_deadline_seconds=0.3, cancel_delivery_seconds=0.3, circuit_half_open_after_seconds=0.2
    )
    away(gate, "east")
    job_id = await gate.submit(submission("east", "west"))
    await until(lambda: [where for where, _ in gate.datacenters.cancels] == ["west:1"])
    await until(lambda: gate.node.jobs.courier.pending_count == 0)
    del gate.datacenters.answers["east:1"]
    gate.progress("east", job_id, 1, requests=1)
    await until(lambda: "east:1" in [where for where, _ in gate.datacenters.cancels])


async def test_a_gate_that_takes_over_does_not_wait_for_a_datacenter_that_has_no_part_any_more(
    gate: GateInMemory, store: SlowStore
) -> None:
    away(gate, "east")
    asked = staged()
    asked.datacenters.CopyFrom(job_pb2.DatacenterSelection(count=1, preferred=["east"], exclude=["north"]))
    job_id = await gate.submit(asked)
    await gate.dispatched(f"{job_id}.setup", "west")
    gate.finish("west", f"{job_id}.setup", provided=[made("shop.setup")])
    await gate.dispatched(job_id, "west")
    await gate.supervisor.stop(5)
    again = make_gate(store, "g1")
    again.datacenters.on_cancel = cancelled
    await again.connect("west")
    await again.node.recover()
    await again.dispatched(f"{job_id}.teardown", "west")
    await again.connect("east")
    await until(lambda: "east:1" in [where for where, _ in again.datacenters.cancels])
    await again.supervisor.stop(5)


async def test_looking_for_the_next_one_places_no_job(gate: GateInMemory) -> None:
    """It would weigh on the decisions for other jobs."""
    routing = gate.node.jobs.routing
    first, second = (routing.decide_again(name, job(count=1), {"east"}) for name in ("one", "two"))
    loads = [
        {standing.name: standing.components.load for standing in decision.standings if standing.components is not None}
        for decision in (first, second)
    ]
    assert loads[0] == loads[1]
    assert loads[0].keys() == {"north", "west"}
    assert routing.job_count == 0
