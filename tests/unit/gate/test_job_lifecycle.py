"""The life of a job."""

from itertools import product

import pytest

from hyperscale.gate.job_lifecycle import TERMINAL, TRANSITIONS, job_outcome
from hyperscale.runtime.transitions import IllegalTransitionError, Lifecycle
from hyperscale.v1.job_pb2 import JobStatus

STATUSES = [status for name, status in JobStatus.items() if name != "JOB_STATUS_UNSPECIFIED"]


def status(name: str) -> JobStatus.ValueType:
    return JobStatus.Value(f"JOB_STATUS_{name}")


def test_every_status_has_its_row() -> None:
    assert TRANSITIONS.statuses == set(STATUSES)


@pytest.mark.parametrize(("current", "wanted"), list(product(STATUSES, STATUSES)))
def test_a_change_happens_exactly_when_the_table_allows_it(
    current: JobStatus.ValueType, wanted: JobStatus.ValueType
) -> None:
    lifecycle = Lifecycle(TRANSITIONS, "job-1", current)
    if wanted in TRANSITIONS.following(current):
        lifecycle.move(wanted)
        assert lifecycle.status == wanted
        return
    with pytest.raises(IllegalTransitionError, match=JobStatus.Name(wanted)):
        lifecycle.move(wanted)
    assert lifecycle.status == current


def test_terminal_statuses_never_change() -> None:
    assert {status(name) for name in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")} == TERMINAL
    assert not any(TRANSITIONS.following(terminal) for terminal in TERMINAL)


def test_an_acknowledged_cancellation_never_completes() -> None:
    reachable = {status("CANCELLING")}
    while new := {after for before in reachable for after in TRANSITIONS.following(before)} - reachable:
        reachable |= new
    assert status("COMPLETED") not in reachable


@pytest.mark.parametrize("name", ["SUBMITTED", "DISPATCHING", "QUEUED", "RUNNING", "COMPLETING"])
def test_every_unfinished_job_can_fail_time_out_and_be_cancelled(name: str) -> None:
    assert {status("FAILED"), status("TIMEOUT"), status("CANCELLING")} <= TRANSITIONS.following(status(name))


@pytest.mark.parametrize(
    ("names", "outcome"),
    [
        (("COMPLETED", "COMPLETED"), "COMPLETED"),
        (("COMPLETED", "TIMEOUT"), "TIMEOUT"),
        (("TIMEOUT", "CANCELLED"), "CANCELLED"),
        (("CANCELLED", "FAILED", "COMPLETED"), "FAILED"),
        ((), "FAILED"),
    ],
)
def test_the_worst_datacenter_decides(names: tuple[str, ...], outcome: str) -> None:
    assert job_outcome(map(status, names)) == status(outcome)
