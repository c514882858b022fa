"""A job's way through the datacenter, on real parts with workers in memory."""

from __future__ import annotations

import pytest

from hyperscale.manager.models.job import DatacenterJob
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import JobCancelRequest
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_COMPLETED,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    WorkflowStatus,
)
from hyperscale.v1.progress_pb2 import SHARD_STATUS_CANCELLED, SHARD_STATUS_COMPLETED, SHARD_STATUS_FAILED
from hyperscale.v1.workflow_pb2 import PRIORITY_EXCLUSIVE, RampingVus, VusStage
from hyperscale.workload.profiles import load_vus
from hyperscale.workload.timestamps import duration, seconds_of, timestamp
from tests.support.shards import requests_of, worker_heartbeat, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, dispatch

PORT_1, PORT_2 = 7001, 7002


async def test_a_workflow_starts_when_its_own_dependencies_are_done(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    await manager.intake.accept(
        dispatch("job-1", workflow("A", users=1), workflow("B", "A", users=1), workflow("C", users=1))
    )
    await until(lambda: len(manager.port.orders) == 2)
    assert sorted(manager.port.workflows()) == ["A", "C"]
    manager.report("worker-1", "job-1/C/0")
    manager.run("worker-1", "job-1/A/0")
    await until(lambda: "B" in manager.port.workflows())
    assert manager.status("job-1", "C") == "RUNNING"
    manager.run("worker-1", "job-1/B/0", 5)
    manager.report("worker-1", "job-1/C/0", SHARD_STATUS_COMPLETED, 7)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 22)
    history = [WorkflowStatus.Name(change.status)[16:] for change in result.workflows[0].history]
    assert history == ["PENDING", "DISPATCHED", "RUNNING", "COMPLETED", "AGGREGATED"]


async def test_a_workflow_is_divided_exactly_over_workers(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A", users=10, iterations=101)))
    await until(lambda: len(manager.port.orders) == 2)
    loads = {order.cores: order.workflow.shared_iterations for _, order in manager.port.orders}
    assert {cores: load.vus for cores, load in loads.items()} == {2: 7, 1: 3}
    assert sum(load.iterations for load in loads.values()) == 101


async def test_shards_start_at_the_instant_of_the_job_where_it_is_still_to_come(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.join("worker-2", PORT_2, 1)
    order = dispatch("job-1", workflow("A", users=10, iterations=101), workflow("B", "A", users=1))
    common = manager.clock.wall() + 0.125
    order.start_at.CopyFrom(timestamp(common))
    await manager.intake.accept(order)
    await until(lambda: len(manager.port.orders) == 2)
    assert {sent.start_at.ToMicroseconds() for _, sent in manager.port.orders} == {order.start_at.ToMicroseconds()}
    manager.run("worker-1", "job-1/A/0")
    manager.run("worker-2", "job-1/A/1")
    await until(lambda: "B" in manager.port.workflows())
    last = manager.port.orders[-1][1]
    assert seconds_of(last.start_at) == pytest.approx(manager.clock.wall() + 0.1, abs=0.01)


async def test_a_slow_commit_does_not_use_up_the_time_until_the_start(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    order = dispatch("job-1", workflow("A", users=1))
    order.start_at.CopyFrom(timestamp(manager.clock.wall() + 0.125))

    async def slow_save(job: DatacenterJob) -> None:
        manager.clock.now += 2

    await manager.intake.accept(order)
    manager.ledger.save = slow_save  # type: ignore[method-assign]
    await until(lambda: manager.port.orders)
    assert seconds_of(manager.port.orders[0][1].start_at) == pytest.approx(manager.clock.wall() + 0.1, abs=0.01)


async def test_a_ramp_holds_no_core_that_would_never_have_a_user(manager: ManagerInMemory) -> None:
    ramp = workflow("ramp")
    ramp.ramping_vus.CopyFrom(RampingVus(stages=[VusStage(duration=duration(9), target=9)]))
    workers = {f"worker-{number}": 7000 + number for number in range(1, 10)}
    for worker_id, port in workers.items():
        manager.join(worker_id, port, 1)
    await manager.intake.accept(dispatch("job-1", ramp))
    await until(lambda: manager.port.orders)
    shards = manager.job("job-1").workflows["ramp"].shards
    users = [load_vus(shard.workflow) for shard in shards]
    assert (sum(users), min(users)) == (9, 1)
    assert [shard.shard_id for shard in shards] == [f"job-1/ramp/{number}" for number in range(len(shards))]
    free = sum(worker.free_cores for worker in manager.workers.capacities())
    assert free == 9 - len(shards) > 0
    for shard in shards:
        manager.run(shard.worker_id, shard.shard_id)
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_a_job_waits_for_a_worker_and_runs_when_one_comes(manager: ManagerInMemory) -> None:
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.job("job-1").lifecycle.status == JOB_STATUS_QUEUED)
    await until(lambda: manager.job("job-1").workflows["A"].waits_for)
    (waiting,) = [report.progress for report in await manager.sent()]
    assert (waiting.status, waiting.workflows[0].reason) == (JOB_STATUS_QUEUED, "no worker is registered")
    manager.join("worker-1", PORT_1, 2)
    await until(lambda: manager.port.orders)
    manager.run("worker-1", "job-1/A/0")
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_a_job_waits_for_the_cores_of_another(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: len(manager.port.orders) == 1)
    await manager.intake.accept(dispatch("job-2", workflow("A")))
    await until(lambda: manager.job("job-2").workflows["A"].waits_for == "waits for a free core: all 2 are in use")
    assert manager.job("job-2").lifecycle.status == JOB_STATUS_QUEUED
    manager.run("worker-1", "job-1/A/0")
    await until(lambda: len(manager.port.orders) == 2)
    assert manager.port.orders[1][1].job_id == "job-2"


async def test_dependents_of_a_failed_workflow_fail_transitively(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A"), workflow("C", "B")))
    await until(lambda: manager.port.orders)
    manager.report("worker-1", "job-1/A/0", requests=3)
    manager.report("worker-1", "job-1/A/0", SHARD_STATUS_FAILED, 4, errors=["engine 4711 was killed"])
    result = await manager.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert result.errors == ["worker worker-1: engine 4711 was killed"]
    assert [WorkflowStatus.Name(each.status)[16:] for each in result.workflows] == ["FAILED"] * 3
    assert result.workflows[2].reason == "dependency A failed"
    assert requests_of(result) == 4


async def test_the_loss_of_a_worker_fails_the_job_and_stops_the_other_shards(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: len(manager.port.orders) == 2)
    shard_of = {port: order.shard_id for port, order in manager.port.orders}
    manager.report("worker-1", shard_of[PORT_1], requests=5)
    manager.report("worker-2", shard_of[PORT_2], requests=6)
    manager.part("worker-1")
    manager.upkeep.tick()
    assert manager.job("job-1").lifecycle.status == JOB_STATUS_RUNNING
    manager.clock.now += 3.1
    manager.upkeep.tick()
    await until(lambda: manager.port.cancels)
    assert manager.port.stopped() == [(PORT_2, shard_of[PORT_2])]
    manager.report("worker-2", shard_of[PORT_2], SHARD_STATUS_CANCELLED, 9)
    result = await manager.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert "worker-1 was lost" in result.errors[0]
    assert requests_of(result) == 14
    assert result.elapsed.ToMilliseconds() == 3100


async def test_how_long_load_was_made_does_not_depend_on_the_clocks_of_workers(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: len(manager.port.orders) == 2)
    shard_of = {port: order.shard_id for port, order in manager.port.orders}
    early, late = timestamp(1_000_000 - 3600), timestamp(1_000_000 + 3600)
    manager.report("worker-1", shard_of[PORT_1], started_at=early, elapsed=duration(0))
    manager.clock.now += 2
    manager.report("worker-2", shard_of[PORT_2], started_at=late, elapsed=duration(0))
    manager.clock.now += 8
    manager.report("worker-1", shard_of[PORT_1], SHARD_STATUS_COMPLETED, started_at=early, elapsed=duration(10))
    # This one is three seconds on its way, which its first report was not.
    manager.clock.now += 5
    manager.report("worker-2", shard_of[PORT_2], SHARD_STATUS_COMPLETED, started_at=late, elapsed=duration(10))
    assert (await manager.final("job-1")).elapsed.ToMilliseconds() == 12_000


async def test_shards_that_do_not_confirm_their_end_are_given_up(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: len(manager.port.orders) == 2)
    first, second = (order.shard_id for _, order in manager.port.orders)
    manager.report(f"worker-{manager.port.orders[0][0] - 7000}", first, SHARD_STATUS_FAILED, 1)
    manager.upkeep.tick()
    assert manager.state.find("job-1") is not None
    manager.clock.now += 5.1
    manager.upkeep.tick()
    result = await manager.final("job-1")
    assert any("did not confirm" in error and second in error for error in result.errors)


async def test_a_worker_that_comes_back_in_time_is_not_lost(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.part("worker-1")
    manager.clock.now += 2
    manager.join("worker-1", PORT_1, 1)
    manager.clock.now += 5
    manager.upkeep.tick()
    manager.run("worker-1", "job-1/A/0")
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_a_worker_that_forgot_its_shard_fails_it(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.report("worker-1", "job-1/A/0")
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 1))
    manager.clock.now += 3.1
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 1))
    result = await manager.final("job-1")
    assert result.errors == ["worker worker-1 does not run shard job-1/A/0 any more"]


@pytest.mark.parametrize("reason", [ErrorReason.INSUFFICIENT_CORES, ErrorReason.DRAINING])
async def test_a_refused_shard_goes_to_another_worker_under_a_new_attempt(
    manager: ManagerInMemory, reason: ErrorReason
) -> None:
    manager.port.refusals[PORT_1] = HyperscaleError(reason)
    manager.join("worker-1", PORT_1, 2)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A", users=1)))
    await until(lambda: manager.port.orders)
    ((port, order),) = manager.port.orders
    assert (port, order.attempt) == (PORT_2, 2)
    assert [worker.reserved_cores for worker in manager.workers.statuses()] == [0, 1]
    manager.run("worker-2", order.shard_id)
    assert (await manager.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_the_other_shards_of_a_workflow_go_on_while_a_refused_one_waits(manager: ManagerInMemory) -> None:
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.INSUFFICIENT_CORES)
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A", users=2)))
    await until(lambda: manager.port.orders)
    ((_, kept),) = manager.port.orders
    manager.report("worker-2", kept.shard_id)
    del manager.port.refusals[PORT_1]
    manager.clock.now += 1.1
    await until(lambda: len(manager.port.orders) == 2)
    port, again = manager.port.orders[1]
    assert (port, again.attempt, again.workflow.shared_iterations.vus) == (PORT_1, 2, 1)
    manager.run("worker-1", again.shard_id, 4)
    manager.report("worker-2", kept.shard_id, SHARD_STATUS_COMPLETED, 3)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 7)


async def test_a_shard_that_nobody_takes_fails_its_workflow_in_the_end(manager: ManagerInMemory) -> None:
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.INSUFFICIENT_CORES)
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A", users=2)))
    await until(lambda: manager.port.orders)
    ((_, kept),) = manager.port.orders
    manager.report("worker-2", kept.shard_id, requests=3)
    await until(lambda: [shard for shard in manager.job("job-1").shards() if shard.waiting_since_seconds])
    manager.clock.now += 29.9
    manager.upkeep.tick()
    assert manager.status("job-1", "A") == "RUNNING"
    manager.clock.now += 0.2

    def is_given_up() -> bool:
        manager.upkeep.tick()
        return manager.status("job-1", "A") == "FAILED"

    await until(is_given_up)
    manager.report("worker-2", kept.shard_id, SHARD_STATUS_CANCELLED, 4)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 4)
    assert "no worker took shard" in result.errors[0]
    assert "worker worker-1 did not take shard" in result.errors[0]


async def test_a_shard_that_its_worker_finds_faulty_fails_the_job(manager: ManagerInMemory) -> None:
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.INVALID_ARGUMENT)
    manager.join("worker-1", PORT_1, 2)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    result = await manager.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert "worker-1 did not take shard" in result.errors[0]


@pytest.mark.requirement("WORK.1")
async def test_an_exclusive_workflow_waits_for_the_datacenter_to_be_idle(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    await manager.intake.accept(dispatch("job-1", workflow("A", users=1)))
    await until(lambda: manager.port.orders)
    await manager.intake.accept(dispatch("job-2", workflow("X", priority=PRIORITY_EXCLUSIVE)))
    await manager.intake.accept(dispatch("job-3", workflow("Y", users=1)))
    await until(lambda: manager.job("job-3").workflows["Y"].waits_for)
    manager.run("worker-1", "job-1/A/0")
    await until(lambda: len(manager.port.orders) == 2)
    assert (manager.port.workflows(), manager.port.orders[1][1].cores) == (["A", "X"], 2)
    manager.run("worker-1", "job-2/X/0")
    await until(lambda: manager.port.workflows() == ["A", "X", "Y"])


async def test_workflows_without_users_end_at_once_with_empty_statistics(manager: ManagerInMemory) -> None:
    idle = workflow("idle", users=0, iterations=0)
    await manager.intake.accept(dispatch("job-1", idle, workflow("after", "idle", users=0, iterations=0)))
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 0)
    assert not result.HasField("started_at")


async def test_a_worker_joins_between_two_workflows(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A")))
    await until(lambda: manager.port.orders)
    manager.join("worker-2", PORT_2, 1)
    manager.run("worker-1", "job-1/A/0")
    await until(lambda: len(manager.port.orders) == 3)
    assert {port for port, order in manager.port.orders if order.workflow.name == "B"} == {PORT_1, PORT_2}


async def test_a_worker_is_told_to_stop_until_it_has_heard(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.PEER_UNREACHABLE)
    await manager.cancellation.cancel(JobCancelRequest(job_id="job-1"))
    await until(lambda: manager.supervisor.failures.get("shard-stop"))
    del manager.port.refusals[PORT_1]
    await until(lambda: manager.port.cancels)
