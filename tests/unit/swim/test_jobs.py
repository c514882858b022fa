from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.swim.jobs import (
    JobNodeLost,
    JobStanding,
    JobSuspicionConfig,
    JobSuspicionRefusal,
    JobSuspicions,
)


def suspicions(**changes: Any) -> JobSuspicions:
    return JobSuspicions(JobSuspicionConfig(**changes))


@pytest.mark.requirement("AD-30.2")
def test_a_node_is_suspect_for_one_job_and_fine_for_another() -> None:
    table = suspicions()
    assert table.suspect("slow", "w1", "m1", now=0.0)
    assert table.standing("slow", "w1") is JobStanding.SUSPECT
    assert table.standing("fast", "w1") is JobStanding.RESPONSIVE
    assert table.standing("slow", "w2") is JobStanding.RESPONSIVE
    assert table.handle_timer(30.0) == [JobNodeLost("slow", "w1", 0.0)]
    assert table.standing("slow", "w1") is JobStanding.UNRESPONSIVE
    assert table.standing("fast", "w1") is JobStanding.RESPONSIVE


@pytest.mark.requirement("AD-30.2")
def test_death_in_the_group_clears_every_jobs_suspicion() -> None:
    table = suspicions()
    for job in ("one", "two"):
        table.suspect(job, "w1", "m1", now=0.0)
        table.suspect(job, "w2", "m1", now=0.0)
    table.node_died("w1")
    assert table.standing("one", "w1") is table.standing("two", "w1") is JobStanding.RESPONSIVE
    assert {lost.node_id for lost in table.handle_timer(100.0)} == {"w2"}


def test_independent_confirmations_shorten_and_repetition_does_not() -> None:
    table = suspicions(longest_seconds=30, shortest_seconds=2, confirmations=3)
    table.suspect("job", "w1", "m1", now=0.0)
    assert table.next_deadline() == 30
    assert not table.suspect("job", "w1", "m1", now=1.0)
    assert table.next_deadline() == 30
    deadlines = []
    for source in ("m2", "m3", "m4", "m5"):
        table.suspect("job", "w1", source, now=1.0)
        deadlines.append(table.next_deadline())
    assert deadlines == [pytest.approx(16.0), pytest.approx(7.81, abs=0.01), 2, 2]


def test_a_node_heard_from_is_responsive_again() -> None:
    table = suspicions()
    table.suspect("job", "w1", "m1", now=0.0)
    table.heard_from("job", "w1")
    assert table.next_deadline() is None
    assert not table.handle_timer(100.0)
    table.suspect("job", "w1", "m1", now=100.0)
    assert table.handle_timer(130.0) == [JobNodeLost("job", "w1", 100.0)]
    assert not table.handle_timer(200.0)
    assert not table.suspect("job", "w1", "m2", now=201.0)
    table.heard_from("job", "w1")
    assert table.standing("job", "w1") is JobStanding.RESPONSIVE


def test_the_table_is_bounded_and_says_what_it_refused() -> None:
    table = suspicions(per_job_max=2, entries_max=3)
    taken = [table.suspect("one", f"w{n}", "m1", now=0.0) for n in range(3)]
    taken += [table.suspect("two", f"w{n}", "m1", now=0.0) for n in range(2)]
    assert taken == [True, True, False, True, False]
    assert table.refusals == {JobSuspicionRefusal.JOB_FULL: 1, JobSuspicionRefusal.TABLE_FULL: 1}
    table.job_ended("one")
    assert len(table) == 1
    assert table.suspect("two", "w1", "m1", now=0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["suspect", "hear", "die", "end", "wait"]), st.integers(0, 2), st.integers(0, 2)),
        max_size=80,
    )
)
def test_whatever_happens_counts_and_deadlines_agree(steps: list[tuple[str, int, int]]) -> None:
    table, now = suspicions(entries_max=5), 0.0
    for step, job, node in steps:
        match step:
            case "suspect":
                table.suspect(f"j{job}", f"w{node}", f"m{node}{job}", now)
            case "hear":
                table.heard_from(f"j{job}", f"w{node}")
            case "die":
                table.node_died(f"w{node}")
            case "end":
                table.job_ended(f"j{job}")
            case _:
                now += 7.0
                assert all(
                    table.standing(x.job_id, x.node_id) is JobStanding.UNRESPONSIVE for x in table.handle_timer(now)
                )
        standings = [table.standing(f"j{j}", f"w{n}") for j in range(3) for n in range(3)]
        assert len(table) == sum(standing is not JobStanding.RESPONSIVE for standing in standings) <= 5
        assert (table.next_deadline() is not None) == (JobStanding.SUSPECT in standings)


def test_configuration_is_checked() -> None:
    with pytest.raises(ValueError, match="shortest_seconds"):
        JobSuspicionConfig(shortest_seconds=40)
    with pytest.raises(ValueError, match="limits"):
        JobSuspicionConfig(entries_max=0)
