"""When a shard asks for more time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_EXHAUSTED,
    EXTENSION_OUTCOME_GRANTED,
    EXTENSION_OUTCOME_NO_PROGRESS,
    ExtensionAnswer,
    ExtensionOutcome,
    ExtensionRequest,
)
from hyperscale.v1.statistics_pb2 import StepStats, WorkflowStats
from hyperscale.v1.workflow_pb2 import ConstantVus, PerVuIterations, SharedIterations, Workflow
from hyperscale.worker.extensions import ShardDeadline
from hyperscale.workload.timestamps import duration, seconds_of

LEAD = 5.0


def iterations(wanted: int = 100) -> Workflow:
    """A stock of iterations, for ten minutes at most."""
    return Workflow(shared_iterations=SharedIterations(vus=1, iterations=wanted))


def per_user() -> Workflow:
    return Workflow(per_vu_iterations=PerVuIterations(vus=10, iterations=10))


def timed(seconds: float = 50, graceful_seconds: float = 30) -> Workflow:
    load = ConstantVus(vus=1, duration=duration(seconds))
    return Workflow(constant_vus=load, graceful_stop=duration(graceful_seconds))


def deadline(workflow: Workflow, time_left: float = 60.0) -> ShardDeadline:
    dispatch = WorkflowDispatch(shard_id="job/w/0", attempt=2, workflow=workflow, time_left=duration(time_left))
    return ShardDeadline(dispatch, LEAD, 1000.0)


def asked(shard: ShardDeadline, at: float, done: int) -> ExtensionRequest | None:
    """What is asked so long after the start, when so many iterations have ended."""
    if not shard.is_near(1000 + at):
        return None
    totals = WorkflowStats(iterations=done, steps=[StepStats(step_name="get", total_count=2 * done)])
    return shard.request(totals, at, 1000 + at)


@pytest.mark.parametrize(
    ("workflow", "at", "done"),
    [
        (iterations, 54, 10),  # much is left, and there is time yet
        (iterations, 56, 95),  # 3 s are left, and needed
        (per_user, 56, 95),
        (timed, 57, 5),  # the graceful stop may take longer than there is time
    ],
)
def test_nothing_is_asked_for_without_need(workflow: Callable[[], Workflow], at: float, done: int) -> None:
    is_needed = workflow is timed
    assert (asked(deadline(workflow()), at, done) is not None) is is_needed


def test_a_stock_that_will_not_be_used_up_in_time_asks_and_says_for_how_long() -> None:
    for workflow in (iterations(), per_user()):
        request = asked(deadline(workflow), at=56, done=80)
        assert request is not None
        assert (request.shard_id, request.attempt, request.work_done) == ("job/w/0", 2, 240)
        assert seconds_of(request.ends_in) == pytest.approx(14)
        assert seconds_of(request.time_left) == 4


def test_a_load_by_the_clock_that_never_had_its_time_asks_for_nothing() -> None:
    shard = deadline(timed(seconds=300))
    assert all(asked(shard, at, done=99) is None for at in (30, 56, 59, 61))


def test_a_load_by_the_clock_that_had_its_time_and_began_late_asks_for_what_is_missing() -> None:
    shard = deadline(timed(seconds=50))
    request = shard.request(WorkflowStats(iterations=5), 40, 1056)
    assert request is not None
    assert seconds_of(request.ends_in) == 10


@pytest.mark.parametrize("workflow", [iterations(), timed()])
def test_nobody_can_tell_before_the_first_iteration_has_ended(workflow: Workflow) -> None:
    request = asked(deadline(workflow), at=57, done=0)
    assert request is not None
    assert (request.work_done, request.HasField("ends_in")) == (0, False)


@pytest.mark.parametrize("wanted", [1_000_000, 2**64 - 1])
def test_a_stock_too_large_for_its_longest_time_ends_with_that(wanted: int) -> None:
    request = asked(deadline(iterations(wanted)), at=56, done=1)
    assert request is not None
    assert seconds_of(request.ends_in) == 600 + 30 - 56


@pytest.mark.parametrize("at", [609, 631])
def test_a_stock_whose_longest_time_is_over_cannot_tell_when_its_last_iterations_end(at: float) -> None:
    request = asked(deadline(iterations(), time_left=612), at, done=50)
    assert request is not None
    assert not request.HasField("ends_in")


def test_iterations_that_are_interrupted_in_time_need_none() -> None:
    assert asked(deadline(timed(graceful_seconds=8)), at=56, done=3) is None


def test_no_deadline_no_request() -> None:
    shard = ShardDeadline(WorkflowDispatch(workflow=iterations()), LEAD, 1000.0)
    assert not shard.is_near(1e9)


def answer(outcome: ExtensionOutcome.ValueType, time_left: float, attempt: int = 2) -> ExtensionAnswer:
    return ExtensionAnswer(shard_id="job/w/0", attempt=attempt, outcome=outcome, time_left=duration(time_left))


def test_after_a_grant_it_asks_again_when_the_new_deadline_is_near() -> None:
    shard = deadline(iterations())
    assert asked(shard, 56, 50) is not None
    assert shard.answered(answer(EXTENSION_OUTCOME_GRANTED, 34), 1056)
    assert asked(shard, 84, 60) is None
    assert asked(shard, 86, 61) is not None


def test_after_a_refusal_it_asks_again_unless_that_was_the_last_word() -> None:
    shard = deadline(iterations())
    assert shard.answered(answer(EXTENSION_OUTCOME_NO_PROGRESS, 4), 1056)
    assert not shard.answered(answer(EXTENSION_OUTCOME_NO_PROGRESS, 3), 1057)
    assert asked(shard, 57, 50) is not None
    assert shard.answered(answer(EXTENSION_OUTCOME_EXHAUSTED, 2), 1058)
    assert asked(shard, 58, 51) is None


def test_answers_to_another_attempt_change_nothing() -> None:
    shard = deadline(iterations())
    assert not shard.answered(answer(EXTENSION_OUTCOME_GRANTED, 1000, attempt=1), 1056)
    assert asked(shard, 57, 50) is not None
