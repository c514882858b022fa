"""More time for shards that need it: how much, who gets none, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hyperscale.manager.extensions import MOST_GRANTS, ExtensionPolicy
from hyperscale.manager.models.extension import ExtensionWish, GrantedTime
from hyperscale.manager.models.job import ShardPhase
from hyperscale.runtime.coordination import Lease, MemoryStore, Write, memory_coordinator
from hyperscale.runtime.errors import CoordinationUnavailableError, ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import JobDispatch
from hyperscale.v1.job_pb2 import JOB_STATUS_FAILED
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_ENOUGH,
    EXTENSION_OUTCOME_EXHAUSTED,
    EXTENSION_OUTCOME_GRANTED,
    EXTENSION_OUTCOME_NO_PROGRESS,
    EXTENSION_OUTCOME_OUT_OF_REACH,
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    ExtensionAnswer,
    ExtensionOutcome,
    ExtensionRequest,
    ShardStatus,
)
from hyperscale.v1.workflow_pb2 import ConstantVus
from hyperscale.workload.timestamps import duration, duration_or_none, seconds_of
from tests.support.shards import requests_of, worker_heartbeat, workflow
from tests.support.virtual_time import run_in_virtual_time
from tests.support.waiting import until, until_answer
from tests.unit.manager.harness import SETTLE_SECONDS, ManagerInMemory, TurnedClock, dispatch

POLICY = ExtensionPolicy(30.0)
PORT = 7001
SHARD = "job-1/A/0"
GRANTED = EXTENSION_OUTCOME_GRANTED
JOB_SECONDS = 60.0
SHARD_SECONDS = 600 + 30 + 30
"""Of a stock of iterations: its longest time, its graceful stop, and how much longer it may take unasked."""


@pytest.mark.parametrize(
    ("first", "grants", "seconds"),
    [
        (30, 0, 30),
        (30, 1, 15),
        (30, 2, 7.5),
        (30, 3, 3.75),
        (30, 4, 1.875),
        (4, 1, 2),
        (4, 2, 1),
        (4, 4, 1),
    ],
)
def test_each_grant_is_half_of_the_one_before_but_at_least_a_second(first: float, grants: int, seconds: float) -> None:
    granted = GrantedTime(grants, 100.0, 5)
    verdict = ExtensionPolicy(first).judge(granted, ExtensionWish(6, None))
    assert (verdict.outcome, verdict.granted) == (GRANTED, GrantedTime(grants + 1, 100 + seconds, 6))


@pytest.mark.parametrize(
    ("policy", "granted", "wish", "outcome"),
    [
        (POLICY, GrantedTime(), ExtensionWish(0, None), EXTENSION_OUTCOME_NO_PROGRESS),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(9, 1), EXTENSION_OUTCOME_NO_PROGRESS),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(8, None), EXTENSION_OUTCOME_NO_PROGRESS),
        (POLICY, GrantedTime(5, 58.125, 9), ExtensionWish(10, 1), EXTENSION_OUTCOME_EXHAUSTED),
        (ExtensionPolicy(0), GrantedTime(), ExtensionWish(10, 1), EXTENSION_OUTCOME_EXHAUSTED),
        (POLICY, GrantedTime(), ExtensionWish(1, 58.126), EXTENSION_OUTCOME_OUT_OF_REACH),
        (POLICY, GrantedTime(), ExtensionWish(1, 58.125), GRANTED),
        (POLICY, GrantedTime(4, 56.25, 1), ExtensionWish(2, 1.9), EXTENSION_OUTCOME_OUT_OF_REACH),
        (POLICY, GrantedTime(4, 56.25, 1), ExtensionWish(2, 1.8), GRANTED),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(10, 0), EXTENSION_OUTCOME_ENOUGH),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(10, -26), EXTENSION_OUTCOME_ENOUGH),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(10, None, 29.9), EXTENSION_OUTCOME_ENOUGH),
        (POLICY, GrantedTime(1, 30, 9), ExtensionWish(9, 1, 29.9), EXTENSION_OUTCOME_ENOUGH),
        (POLICY, GrantedTime(5, 58.125, 9), ExtensionWish(10, 0), EXTENSION_OUTCOME_EXHAUSTED),
        (POLICY, GrantedTime(), ExtensionWish(1, None, 0.4), GRANTED),
    ],
)
def test_who_gets_time(policy: ExtensionPolicy, granted: GrantedTime, wish: ExtensionWish, outcome: int) -> None:
    verdict = policy.judge(granted, wish)
    assert verdict.outcome == outcome
    assert (verdict.granted == granted) is (outcome != GRANTED)


wishes = st.builds(ExtensionWish, st.integers(0, 20), st.none() | st.floats(0, 100))


@pytest.mark.requirement("AD-26.1")
@given(st.floats(0.5, 600), st.lists(wishes, max_size=40))
def test_whatever_is_asked_grants_halve_need_progress_and_are_five_at_most(
    first_seconds: float, asked: list[ExtensionWish]
) -> None:
    policy, granted = ExtensionPolicy(first_seconds), GrantedTime()
    given_seconds: list[float] = []
    for wish in asked:
        verdict = policy.judge(granted, wish)
        if verdict.outcome == GRANTED:
            assert wish.work_done > granted.work_done
            given_seconds.append(verdict.granted.seconds - granted.seconds)
        else:
            assert verdict.granted == granted
        granted = verdict.granted
    assert given_seconds == pytest.approx([max(1.0, first_seconds / 2**n) for n in range(len(given_seconds))])
    assert len(given_seconds) <= MOST_GRANTS


def timed(job_id: str = "job-1") -> JobDispatch:
    job = dispatch(job_id, workflow("A"))
    job.time_left.CopyFrom(duration(JOB_SECONDS))
    return job


@pytest.fixture
async def running(manager: ManagerInMemory) -> ManagerInMemory:
    """A manager whose one worker runs the one shard of a job that has a minute."""
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(timed())
    await until(lambda: manager.port.orders)
    manager.report("worker-1", SHARD)
    return manager


def ask(
    manager: ManagerInMemory,
    work_done: int,
    worker_id: str = "worker-1",
    *,
    attempt: int = 1,
    shard_id: str = SHARD,
    time_left: float | None = None,
    ends_in: float | None = None,
) -> list[ExtensionAnswer]:
    request = ExtensionRequest(
        shard_id=shard_id,
        attempt=attempt,
        work_done=work_done,
        time_left=duration_or_none(time_left),
        ends_in=duration_or_none(ends_in),
    )
    return manager.extensions.answer(worker_id, [request])


def beat(manager: ManagerInMemory) -> None:
    """The worker is well and says so, whatever becomes of its shard."""
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT, 1, SHARD))
    manager.upkeep.tick()


async def test_a_worker_is_told_how_long_a_shard_may_take(running: ManagerInMemory) -> None:
    assert seconds_of(running.port.order(SHARD).time_left) == JOB_SECONDS


async def test_a_shard_without_a_job_timeout_has_the_time_of_its_load(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    assert seconds_of(manager.port.order(SHARD).time_left) == pytest.approx(SHARD_SECONDS + 0.1)


@pytest.mark.requirement("AD-26.1")
async def test_a_grant_moves_the_deadlines_of_shard_and_job(running: ManagerInMemory) -> None:
    running.clock.now += 50
    job, shard = running.job("job-1"), next(running.job("job-1").shards())
    before = shard.ends_at_seconds, job.ends_at_seconds
    (answer,) = ask(running, work_done=10)
    assert (answer.outcome, seconds_of(answer.time_left)) == (GRANTED, 40)
    assert (shard.ends_at_seconds - before[0], job.ends_at_seconds - before[1]) == (30, 30)
    reports = [report.progress for report in await running.sent() if report.HasField("progress")]
    assert seconds_of(reports[-1].extended_by) == 30
    assert reports[-1].workflows[0].reason == "its time was extended by 30 s"


async def test_an_answer_that_was_lost_is_not_missed(running: ManagerInMemory) -> None:
    ask(running, work_done=10, time_left=JOB_SECONDS)
    (again,) = ask(running, work_done=10, time_left=JOB_SECONDS)
    assert (again.outcome, seconds_of(again.time_left)) == (EXTENSION_OUTCOME_ENOUGH, JOB_SECONDS + 30)


@pytest.mark.parametrize("ends_in", [None, 4.0])
async def test_a_need_is_granted_once_however_often_it_is_told_before_the_answer_arrives(
    running: ManagerInMemory, ends_in: float | None
) -> None:
    running.clock.now += 58
    outcomes = [
        ask(running, work_done=10 + number, time_left=2.0, ends_in=ends_in)[0].outcome for number in range(MOST_GRANTS)
    ]
    assert outcomes == [GRANTED, *([EXTENSION_OUTCOME_ENOUGH] * (MOST_GRANTS - 1))]
    assert running.job("job-1").extended_seconds == 30


async def test_shards_that_the_timeout_limits_share_what_moves_it(manager: ManagerInMemory) -> None:
    job = dispatch("job-1", workflow("A", users=2))
    job.time_left.CopyFrom(duration(JOB_SECONDS))
    manager.join("worker-1", PORT, 1)
    manager.join("worker-2", PORT + 1, 1)
    await manager.intake.accept(job)
    await until(lambda: len(manager.port.orders) == 2)
    shards = {order.shard_id: f"worker-{port - PORT + 1}" for port, order in manager.port.orders}

    def answers(work_done: int, time_left: float) -> list[tuple[ExtensionOutcome.ValueType, float]]:
        given = [
            ask(manager, work_done, worker, shard_id=shard, time_left=time_left) for shard, worker in shards.items()
        ]
        return [(answer.outcome, seconds_of(answer.time_left)) for (answer,) in given]

    manager.clock.now += 58
    assert answers(10, time_left=2) == [(GRANTED, 32), (EXTENSION_OUTCOME_ENOUGH, 32)]
    manager.clock.now += 30
    other, first = reversed(shards.items())
    shards = dict([other, first])
    assert answers(20, time_left=2) == [(GRANTED, 17), (EXTENSION_OUTCOME_ENOUGH, 17)], "half of what the first had got"
    assert manager.job("job-1").extended_seconds == 45


async def test_of_what_a_heartbeat_asks_for_a_shard_the_last_counts(running: ManagerInMemory) -> None:
    requests = [ExtensionRequest(shard_id=SHARD, attempt=1, work_done=done) for done in (10, 11, 12)]
    (answer,) = running.extensions.answer("worker-1", requests)
    assert (answer.outcome, running.job("job-1").extended_seconds) == (GRANTED, 30)
    (shard,) = running.job("job-1").shards()
    assert shard.extension.work_done == 12


def test_grants_of_one_second_are_written_together() -> None:
    async def writes() -> int:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with ManagerInMemory("manager-1", store, TurnedClock()) as manager:
            await manager.lead()
            for number in range(40):
                manager.join(f"worker-{number}", PORT + number, 1)
            await manager.intake.accept(dispatch("job-1", workflow("A", users=40)))
            await until(lambda: len(manager.port.orders) == 40)
            revisions = set[int]()
            for port, order in [*manager.port.orders, *manager.port.orders]:
                ask(manager, 10, f"worker-{port - PORT}", shard_id=order.shard_id)
                await asyncio.sleep(1 / 40)
                entry = await memory_coordinator(store).get("dc-jobs/job-1")
                assert entry is not None
                revisions.add(entry.revision)
            record = await manager.ledger.find("job-1")
            assert record is not None
            assert len(record.extensions) == 40
        return len(revisions)

    assert run_in_virtual_time(writes()) <= 4


@dataclass(slots=True)
class Outage:
    """The time in which a store takes no writes."""

    store: MemoryStore
    ends_at: float

    def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
        if asyncio.get_running_loop().time() < self.ends_at:
            raise CoordinationUnavailableError("locked")
        return MemoryStore.commit(self.store, writes, guard)


@dataclass(slots=True)
class SavedGrants:
    """What is durable of a job's grants after an outage, and what came of the work to save them."""

    work_done: list[int]
    failures: int
    is_being_saved: bool


def granted_during_an_outage(seconds: float, *, later_seconds: float, asked: Sequence[int] = (10,)) -> SavedGrants:
    """Time is asked for once a second from the beginning of an outage on; looked at after so long."""

    async def grant() -> SavedGrants:
        clock = asyncio.get_running_loop().time
        store = MemoryStore(clock)
        async with ManagerInMemory("manager-1", store, TurnedClock()) as manager:
            await manager.lead()
            manager.join("worker-1", PORT, 1)
            await manager.intake.accept(timed())
            await until(lambda: manager.port.orders)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(store, "commit", Outage(store, clock() + seconds).commit)
                for work_done in asked:
                    ask(manager, work_done)
                    await asyncio.sleep(1)
                await asyncio.sleep(later_seconds)
            record = await manager.ledger.find("job-1")
            assert record is not None
            return SavedGrants(
                [each.work_done for each in record.extensions],
                manager.supervisor.failures.get("extension", 0),
                "extension" in manager.supervisor.running,
            )

    return run_in_virtual_time(grant())


@pytest.mark.parametrize("asked", [(10,), (10, 20, 30)])
def test_a_grant_that_could_not_be_saved_is_saved_once_the_store_takes_writes_again(asked: tuple[int, ...]) -> None:
    saved = granted_during_an_outage(20, later_seconds=30, asked=asked)
    assert saved == SavedGrants([asked[-1]], 0, is_being_saved=False)


def test_a_grant_that_cannot_be_saved_is_told_of_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperscale.manager.extension_desk._SAVE_SECONDS", 10.0)
    with capture_logs() as lines:
        saved = granted_during_an_outage(86400, later_seconds=15)
    assert [line["log_level"] for line in lines if line.get("context") == "extension"] == ["warning"]
    assert saved == SavedGrants([], 1, is_being_saved=False)


@pytest.mark.parametrize("change", [{"worker_id": "worker-9"}, {"attempt": 2}])
async def test_others_get_no_answer(running: ManagerInMemory, change: dict[str, object]) -> None:
    assert not ask(running, 10, **change)  # type: ignore[arg-type]
    assert running.job("job-1").extended_seconds == 0


async def test_a_shard_that_has_ended_or_is_being_stopped_gets_no_time(running: ManagerInMemory) -> None:
    running.progression.stop_shards(running.job("job-1"), "enough", 10)
    assert not ask(running, 10)
    running.report("worker-1", SHARD, SHARD_STATUS_COMPLETED)
    assert not ask(running, 10)


async def test_a_shard_over_its_time_fails_though_its_worker_is_well(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.clock.now += SHARD_SECONDS - 1
    beat(manager)
    assert not manager.job("job-1").failing
    ask(manager, work_done=10)
    manager.clock.now += 30
    beat(manager)
    assert not manager.job("job-1").failing
    manager.clock.now += 2
    beat(manager)
    assert manager.status("job-1", "A") == "FAILED"
    manager.report("worker-1", SHARD, SHARD_STATUS_CANCELLED)
    result = await manager.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert result.errors == [f"worker worker-1 has not ended shard {SHARD} within its time, extended by 30 s"]


async def late(manager: ManagerInMemory) -> None:
    """The one shard of a job has counted a hundred requests, and is over its time."""
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    manager.report("worker-1", SHARD, requests=100)
    manager.clock.now += SHARD_SECONDS + 1
    beat(manager)


@pytest.mark.parametrize("status", [SHARD_STATUS_CANCELLED, SHARD_STATUS_COMPLETED])
async def test_a_shard_over_its_time_is_stopped_and_what_it_counts_until_then_is_in_the_result(
    manager: ManagerInMemory, status: ShardStatus.ValueType
) -> None:
    await late(manager)
    await until(lambda: manager.port.stopped() == [(PORT, SHARD)])
    manager.clock.now += SETTLE_SECONDS - 1
    beat(manager)
    assert manager.workers.free_cores == 0, "its engines are at work"
    assert not ask(manager, work_done=200)
    manager.report("worker-1", SHARD, requests=130)
    manager.report("worker-1", SHARD, status, requests=150)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 150)
    assert result.errors == [f"worker worker-1 has not ended shard {SHARD} within its time"]
    assert manager.workers.free_cores == 1


async def test_a_shard_over_its_time_that_does_not_stop_either_is_given_up(manager: ManagerInMemory) -> None:
    await late(manager)
    manager.report("worker-1", SHARD, requests=120)
    manager.clock.now += SETTLE_SECONDS
    beat(manager)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 120)
    assert result.errors[1:] == [f"worker worker-1 did not confirm the end of shard {SHARD} in time"]


async def test_the_time_of_a_shard_that_is_given_to_another_worker_begins_anew(manager: ManagerInMemory) -> None:
    brief = workflow("A", users=2)
    brief.constant_vus.CopyFrom(ConstantVus(vus=2, duration=duration(1)))
    brief.graceful_stop.FromSeconds(0)
    manager.join("worker-1", PORT, 1)
    manager.join("worker-2", PORT + 1, 1)
    manager.port.refusals[PORT + 1] = HyperscaleError(ErrorReason.OVERLOADED)
    await manager.intake.accept(dispatch("job-1", brief))
    job = manager.job("job-1")
    await until(lambda: [shard.phase for shard in job.shards()] == [ShardPhase.PLACED, ShardPhase.UNPLACED])
    manager.part("worker-2")
    manager.clock.now += 29
    manager.join("worker-3", PORT + 2, 1)
    _, moved = job.shards()
    async with job.commit_lock:
        # The store is slow, so that nobody has been asked yet.
        await until(lambda: moved.phase is ShardPhase.PLACING)
        manager.report("worker-1", SHARD, SHARD_STATUS_COMPLETED)
        manager.clock.now += 4
        manager.upkeep.tick()
    assert not job.failing
    await until(lambda: moved.phase is ShardPhase.PLACED)
    manager.clock.now += 32
    manager.upkeep.tick()
    assert job.failing


async def test_a_new_leader_knows_what_was_granted(
    running: ManagerInMemory, store: MemoryStore, clock: TurnedClock, lease_clock: TurnedClock
) -> None:
    ask(running, work_done=10)
    ask(running, work_done=11)

    async def is_durable() -> bool:
        record = await running.ledger.find("job-1")
        return record is not None and [(each.grants, each.work_done) for each in record.extensions] == [(2, 11)]

    await until_answer(is_durable)
    await running.supervisor.stop(1)
    lease_clock.now += 60
    async with ManagerInMemory("manager-2", store, clock) as successor:
        await successor.lead()
        assert seconds_of((await successor.final("job-1")).extended_by) == 45


async def test_what_was_granted_goes_with_the_job(running: ManagerInMemory) -> None:
    ask(running, work_done=10)
    running.report("worker-1", SHARD, SHARD_STATUS_COMPLETED, requests=10)
    assert seconds_of((await running.final("job-1")).extended_by) == 30
    assert not ask(running, 20)
    running.port.orders.clear()
    await running.intake.accept(timed("job-2"))
    await until(lambda: running.port.orders)
    assert running.job("job-2").extended_seconds == 0
