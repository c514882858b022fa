"""Workers and managers that do not do their work in time: what is given to them, and what gates are told."""

from __future__ import annotations

import asyncio

from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED, JOB_STATUS_QUEUED
from hyperscale.v1.node_pb2 import (
    OVERLOAD_STATE_BUSY,
    OVERLOAD_STATE_HEALTHY,
    OVERLOAD_STATE_OVERLOADED,
    OVERLOAD_STATE_STRESSED,
    OVERLOAD_STATE_UNSPECIFIED,
)
from tests.support.shards import workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, TurnedClock, dispatch

PORT_1, PORT_2, PORT_3 = 7001, 7002, 7003


async def test_an_overloaded_worker_gets_nothing_and_what_waits_for_it_says_so(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.fares("worker-1", OVERLOAD_STATE_OVERLOADED)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    waits_for = "no worker takes work at present: 1 of 1 are overloaded"
    await until(lambda: manager.job("job-1").workflows["A"].waits_for == waits_for)
    assert (manager.job("job-1").lifecycle.status, manager.port.orders) == (JOB_STATUS_QUEUED, [])
    assert manager.health.heartbeat().available_cores == 0

    manager.fares("worker-1", OVERLOAD_STATE_STRESSED)

    await until(lambda: manager.port.orders)
    manager.run("worker-1", "job-1/A/0")
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_a_worker_that_becomes_overloaded_keeps_what_it_has(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.report("worker-1", "job-1/A/0")

    manager.fares("worker-1", OVERLOAD_STATE_OVERLOADED)
    manager.upkeep.tick()

    manager.run("worker-1", "job-1/A/0", 7)
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_what_waits_beside_an_overloaded_worker_is_not_told_that_its_cores_are_in_use(
    manager: ManagerInMemory,
) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    manager.fares("worker-2", OVERLOAD_STATE_OVERLOADED)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    await manager.intake.accept(dispatch("job-2", workflow("A")))
    waits_for = "waits for a free core: all 2 are in use or belong to overloaded workers"
    await until(lambda: manager.job("job-2").workflows["A"].waits_for == waits_for)


async def test_a_shard_that_was_refused_goes_to_the_worker_that_fares_best(manager: ManagerInMemory) -> None:
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.INSUFFICIENT_CORES)
    manager.join("worker-1", PORT_1, 4)
    manager.join("worker-2", PORT_2, 4)
    manager.join("worker-3", PORT_3, 1)
    manager.fares("worker-1", OVERLOAD_STATE_UNSPECIFIED)
    manager.fares("worker-2", OVERLOAD_STATE_BUSY)
    manager.fares("worker-3", OVERLOAD_STATE_HEALTHY)

    await manager.intake.accept(dispatch("job-1", workflow("A", users=1)))

    await until(lambda: manager.port.orders)
    ((port, order),) = manager.port.orders
    assert (port, order.attempt) == (PORT_3, 2)


async def test_gates_are_told_how_many_workers_do_not_keep_up(manager: ManagerInMemory) -> None:
    states = (OVERLOAD_STATE_BUSY, OVERLOAD_STATE_STRESSED, OVERLOAD_STATE_STRESSED, OVERLOAD_STATE_OVERLOADED)
    for number, state in enumerate(states, 1):
        manager.join(f"worker-{number}", 7000 + number, 2)
        manager.fares(f"worker-{number}", state)
    manager.node.note_overload(OVERLOAD_STATE_STRESSED)

    for told in (manager.health.heartbeat(), manager.health.vitals()):
        assert told.node.overload == OVERLOAD_STATE_STRESSED
        assert (told.busy_worker_count, told.stressed_worker_count, told.overloaded_worker_count) == (1, 2, 1)
        assert (told.worker_count, told.total_cores, told.available_cores) == (4, 8, 6)

    manager.part("worker-4")
    assert manager.health.heartbeat().overloaded_worker_count == 0


async def test_an_overloaded_manager_leaves_leadership_to_another_one(store: MemoryStore, clock: TurnedClock) -> None:
    slow, quick = ManagerInMemory("manager-1", store, clock), ManagerInMemory("manager-2", store, clock)
    slow.node.note_overload(OVERLOAD_STATE_OVERLOADED)
    async with slow:
        await asyncio.sleep(0)
        async with quick:
            await quick.lead()
            await until(lambda: slow.leadership.leader is not None)
            assert not slow.leadership.is_ready


async def test_an_overloaded_manager_leads_when_nobody_else_does(store: MemoryStore, clock: TurnedClock) -> None:
    alone = ManagerInMemory("manager-1", store, clock)
    alone.node.note_overload(OVERLOAD_STATE_OVERLOADED)
    async with alone:
        await alone.lead()
