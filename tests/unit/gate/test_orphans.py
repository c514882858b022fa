"""Who takes the jobs of a gate that is gone."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from hyperscale.gate.orphans import OrphanAlarm, OrphanSearch, TakeoverOrder
from hyperscale.runtime.clock import Clock
from hyperscale.v1 import job_pb2
from tests.support.waiting import until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, submission
from tests.unit.gate.test_ownership import JOBS, member, ring_of

SURVIVORS = ("g2", "g3")


@dataclass(slots=True)
class TurnedClock:
    now: float = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def order_of(gate_id: str, clock: Clock) -> TakeoverOrder:
    return TakeoverOrder(ring_of(gate_id, *map(member, SURVIVORS)), clock)


def test_each_orphan_is_first_for_one_gate_and_for_the_other_a_pause_later() -> None:
    clock = TurnedClock()
    orders = {name: order_of(name, clock) for name in SURVIVORS}
    first, second = (orders[name].due(JOBS) for name in SURVIVORS)
    assert not first & second
    assert first | second == set(JOBS)
    assert 0.4 < len(first) / len(JOBS) < 0.6
    clock.now += 1.0
    assert [orders[name].due(JOBS) for name in SURVIVORS] == [first, second]
    clock.now += 1.5
    assert all(order.due(JOBS) == set(JOBS) for order in orders.values())


def test_the_pause_of_an_orphan_begins_anew_once_somebody_has_had_it() -> None:
    clock = TurnedClock()
    order = order_of("g2", clock)
    later = next(job_id for job_id in JOBS if not order.due([job_id]))
    clock.now += 1.5
    assert not order.due([])
    assert not order.due([later])
    clock.now += 1.5
    assert not order.due([later])
    clock.now += 0.5
    assert order.due([later]) == {later}


async def status(gate: GateInMemory, job_id: str) -> job_pb2.JobStatus.ValueType:
    record = await gate.node.jobs.store.get(job_id)
    assert record is not None
    return record.status


async def test_the_next_gate_on_the_ring_ends_an_orphan_and_the_other_one_only_if_that_does_not(
    start_gate: StartGate,
) -> None:
    lost = await start_gate("east", lease_ttl_seconds=0.2)
    jobs = [await lost.submit(submission("east")) for _ in range(40)]
    clock = TurnedClock()
    gates, searches = {}, {}
    for name in SURVIVORS:
        gates[name] = gate = await start_gate(node_id=name)
        alarm = OrphanAlarm(60.0, clock)
        owned = gate.node.jobs
        searches[name] = OrphanSearch(
            state=owned.state,
            store=owned.store,
            leases=owned.leases,
            order=order_of(name, clock),
            alarm=alarm,
            logger=structlog.get_logger(),
        )
    await lost.supervisor.stop(1)

    async def is_orphaned() -> bool:
        return not any([await gates["g2"].node.jobs.leases.is_owned(job_id) for job_id in jobs])

    await until_answer(is_orphaned)
    theirs = {name: {ack.job_id for ack in await searches[name].due()} for name in SURVIVORS}
    assert theirs["g2"] | theirs["g3"] == set(jobs)
    await gates["g2"].node.recovery.end_orphans_once(searches["g2"])
    ended = {job_id for job_id in jobs if await status(gates["g3"], job_id) == job_pb2.JOB_STATUS_FAILED}
    assert ended == theirs["g2"]
    clock.now += 2.0
    await gates["g2"].node.recovery.end_orphans_once(searches["g2"])
    assert {await status(gates["g3"], job_id) for job_id in jobs} == {job_pb2.JOB_STATUS_FAILED}
