"""What the worker admits, refuses and remembers."""

import pytest

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.dispatch_pb2 import ShardAttempts, WorkflowDispatch
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER
from hyperscale.worker.leases import JobLedger
from hyperscale.worker.state import WorkerState

RETENTION_SECONDS = 60.0
CAPACITY = 10


def dispatch(shard_id: str = "job/w/0", *, attempt: int = 1, fence: int = 5, cores: int = 1) -> WorkflowDispatch:
    job_id = shard_id.partition("/")[0]
    return WorkflowDispatch(job_id=job_id, shard_id=shard_id, attempt=attempt, fence_token=fence, cores=cores)


def up_to(attempt: int, shard_id: str = "job/w/0") -> ShardAttempts:
    return ShardAttempts(shard_id=shard_id, up_to_attempt=attempt)


def refusal(state: WorkerState, what: WorkflowDispatch, now: float = 0.0) -> ErrorReason:
    with pytest.raises(HyperscaleError) as refused:
        state.admit(what, now)
    return refused.value.reason


@pytest.fixture
def node() -> NodeLifecycle:
    return NodeLifecycle(NodeIdentity("worker-1", NODE_ROLE_WORKER, "dc-1", "hyperscale", "default"))


@pytest.fixture
def state(node: NodeLifecycle) -> WorkerState:
    """An active worker with three idle engines."""
    made = WorkerState(3, JobLedger(RETENTION_SECONDS, CAPACITY), node, lambda: None)
    for slot in range(3):
        made.engine_ready(slot, 1000 + slot)
    node.activate()
    return made


def test_a_dispatch_reserves_as_many_engines_as_it_asks_for(state: WorkerState) -> None:
    admission = state.admit(dispatch(cores=2), 0.0)
    assert (admission.ack.cores_assigned, admission.ack.available_cores) == (2, 1)
    assert [engine.pid for engine in state.engines_of(admission.slots)] == [1000, 1001]
    assert (state.available_cores, state.active_shards) == (1, ["job/w/0"])


def test_an_ended_shard_gives_its_engines_back(state: WorkerState) -> None:
    state.admit(dispatch(cores=3), 0.0)
    state.finish("job", "job/w/0", 1.0)
    assert (state.available_cores, state.active_shards) == (3, [])


@pytest.mark.requirement("AD-10.1")
def test_a_lower_fence_than_seen_for_the_job_is_refused(state: WorkerState) -> None:
    state.admit(dispatch(fence=5), 0.0)
    assert refusal(state, dispatch("job/w/1", fence=4)) is ErrorReason.STALE_FENCE
    state.admit(dispatch("job/w/2", fence=6), 0.0)
    assert refusal(state, dispatch("job/w/3", fence=5)) is ErrorReason.STALE_FENCE


def test_fences_of_different_jobs_have_nothing_to_do_with_each_other(state: WorkerState) -> None:
    state.admit(dispatch(fence=5), 0.0)
    state.admit(dispatch("other/w/0", fence=1), 0.0)


def test_a_cancellation_with_a_stale_fence_is_refused(state: WorkerState) -> None:
    state.admit(dispatch(fence=5), 0.0)
    with pytest.raises(HyperscaleError) as refused:
        state.cancel("job", 4, [], 0.0)
    assert refused.value.reason is ErrorReason.STALE_FENCE


def test_the_same_attempt_gets_the_same_answer_and_nothing_more(state: WorkerState) -> None:
    first = state.admit(dispatch(), 0.0)
    again = state.admit(dispatch(), 1.0)
    assert (again.ack, again.slots) == (first.ack, ())
    assert state.available_cores == 2


def test_an_attempt_that_has_ended_is_answered_and_not_run_again(state: WorkerState) -> None:
    first = state.admit(dispatch(), 0.0)
    state.finish("job", "job/w/0", 1.0)
    again = state.admit(dispatch(), 2.0)
    assert (again.ack, again.slots, state.active_shards) == (first.ack, (), [])


def test_another_attempt_of_a_running_shard_is_refused(state: WorkerState) -> None:
    state.admit(dispatch(attempt=2), 0.0)
    assert refusal(state, dispatch(attempt=3)) is ErrorReason.DUPLICATE_SHARD
    assert refusal(state, dispatch(attempt=1)) is ErrorReason.DUPLICATE_SHARD


def test_the_next_attempt_runs_once_the_last_has_ended(state: WorkerState) -> None:
    state.admit(dispatch(attempt=1), 0.0)
    state.finish("job", "job/w/0", 1.0)
    assert state.admit(dispatch(attempt=2), 2.0).slots == (0,)


def test_an_older_attempt_than_one_that_ran_is_refused(state: WorkerState) -> None:
    state.admit(dispatch(attempt=2), 0.0)
    state.finish("job", "job/w/0", 1.0)
    assert refusal(state, dispatch(attempt=1)) is ErrorReason.DUPLICATE_SHARD


def test_more_cores_than_are_free_are_refused(state: WorkerState) -> None:
    state.admit(dispatch(cores=2), 0.0)
    assert refusal(state, dispatch("job/w/1", cores=2)) is ErrorReason.INSUFFICIENT_CORES
    assert state.available_cores == 1
    state.admit(dispatch("job/w/1", cores=1), 0.0)


def test_an_engine_that_died_is_no_core_until_it_is_back(state: WorkerState) -> None:
    state.engine_gone(1)
    assert refusal(state, dispatch(cores=3)) is ErrorReason.INSUFFICIENT_CORES
    state.engine_ready(1, 2001)
    state.admit(dispatch(cores=3), 0.0)


def test_an_engine_replaced_during_a_shard_stays_reserved_for_it(state: WorkerState) -> None:
    state.admit(dispatch(cores=1), 0.0)
    state.engine_gone(0)
    state.engine_ready(0, 2000)
    assert state.available_cores == 2


def test_a_draining_worker_takes_nothing_new_but_repeats_its_answers(state: WorkerState, node: NodeLifecycle) -> None:
    first = state.admit(dispatch(), 0.0)
    node.drain()
    assert refusal(state, dispatch("job/w/1")) is ErrorReason.DRAINING
    assert state.admit(dispatch(), 1.0).ack == first.ack
    node.activate()
    assert node.is_draining


def test_a_starting_worker_takes_nothing(node: NodeLifecycle) -> None:
    starting = WorkerState(1, JobLedger(RETENTION_SECONDS, CAPACITY), node, lambda: None)
    starting.engine_ready(0, 1)
    assert refusal(starting, dispatch()) is ErrorReason.SYNCING


def test_a_cancellation_tells_running_from_unknown_shards(state: WorkerState) -> None:
    state.admit(dispatch("job/w/0"), 0.0)
    assert state.cancel("job", 5, [up_to(1), up_to(1, "job/w/9")], 1.0) == (["job/w/0"], ["job/w/9"])
    assert state.cancel("job", 5, [up_to(0)], 1.0) == (["job/w/0"], [])


@pytest.mark.parametrize("named", [[], [ShardAttempts(shard_id="job/w/0", up_to_attempt=1)]])
def test_a_dispatch_that_arrives_after_its_cancellation_is_refused(
    state: WorkerState, named: list[ShardAttempts]
) -> None:
    state.cancel("job", 5, named, 0.0)
    assert refusal(state, dispatch("job/w/0")) is ErrorReason.STALE_FENCE


def test_a_later_attempt_of_a_cancelled_shard_runs(state: WorkerState) -> None:
    state.admit(dispatch(attempt=1), 0.0)
    state.cancel("job", 5, [up_to(0)], 0.0)
    state.finish("job", "job/w/0", 1.0)
    assert state.admit(dispatch(attempt=3), 2.0).slots == (0,)
    assert state.cancel("job", 5, [up_to(2)], 3.0) == ([], ["job/w/0"])


def test_other_shards_of_a_job_are_not_touched_by_the_cancellation_of_one(state: WorkerState) -> None:
    state.cancel("job", 5, [up_to(1)], 0.0)
    assert state.admit(dispatch("job/w/1"), 0.0).slots == (0,)


def test_a_job_is_forgotten_after_the_retention(state: WorkerState) -> None:
    state.admit(dispatch(fence=5), 0.0)
    state.finish("job", "job/w/0", 10.0)
    state.admit(dispatch("other/w/0"), 10.0 + RETENTION_SECONDS)
    assert state.admit(dispatch("job/w/1", fence=1), 100.0).slots


def test_a_running_job_is_not_forgotten_however_long_it_runs(state: WorkerState) -> None:
    state.admit(dispatch(fence=5), 0.0)
    state.admit(dispatch("other/w/0"), 1e6)
    assert refusal(state, dispatch("job/w/1", fence=1), 1e6) is ErrorReason.STALE_FENCE


def test_ten_thousand_jobs_leave_no_more_than_the_capacity(node: NodeLifecycle) -> None:
    ledger = JobLedger(RETENTION_SECONDS, CAPACITY)
    state = WorkerState(1, ledger, node, lambda: None)
    state.engine_ready(0, 1)
    node.activate()
    for number in range(10_000):
        state.admit(dispatch(f"job-{number}/w/0"), 0.0)
        state.finish(f"job-{number}", f"job-{number}/w/0", 0.0)
        state.cancel(f"late-{number}", 1, [], 0.0)
    assert len(ledger) <= CAPACITY
    assert (state.available_cores, state.active_shards) == (1, [])
