"""The library in processes of their own, on loopback: who dies is noticed by all, and strangers stay out."""

import time
from collections.abc import Sequence

import pytest

from tests.support.processes import eventually
from tests.support.swim_processes import SwimProcess, swim_processes

KEY = "6b" * 32
OTHER_KEY = "78" * 32


def _names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def _survive(count: int, victims: int, profile: str) -> float:
    """Kill some of a group; return how long it took until everybody else knew."""
    names = _names(count)
    with swim_processes(names, profile=profile) as group:
        _until_complete(group)
        dead, alive = group[1 : victims + 1], [group[0], *group[victims + 1 :]]
        suspected_before = {name for node in alive for name in node.state()["suspected"]}
        started = time.monotonic()
        for node in dead:
            node.kill()
        gone = {node.node_id for node in dead}
        eventually(
            lambda: all(node.members("DEAD") == gone for node in alive),
            what=f"{count - victims} nodes agree that {sorted(gone)} are dead",
        )
        elapsed = time.monotonic() - started
        living = set(names) - gone
        assert all(node.members("ALIVE") == living for node in alive)
        assert {name for node in alive for name in node.state()["suspected"]} <= gone | suspected_before
        return elapsed


def _until_complete(group: Sequence[SwimProcess]) -> None:
    eventually(
        lambda: all(len(node.members("ALIVE")) == len(group) for node in group),
        what=f"{len(group)} nodes know each other",
    )


def test_killed_nodes_are_dead_for_everybody_else_and_nobody_else_is_suspected() -> None:
    # How long it takes is measured where nothing else runs: a busy node doubts itself, and waits longer.
    _ = _survive(10, 3, "local")


@pytest.mark.soak
@pytest.mark.parametrize("profile", ["local", "lan"])
def test_thirty_processes_agree_on_five_killed_within_fifteen_seconds(profile: str) -> None:
    elapsed = _survive(30, 5, profile)
    print(f"\n{profile}: 25 of 30 processes agreed on 5 killed within {elapsed:.1f} s")
    assert elapsed < 15


@pytest.mark.requirement("AD-28.2")
def test_strangers_stay_out_of_an_encrypted_group_and_both_sides_say_why() -> None:
    with swim_processes(["n0", "n1"], key=KEY) as group:
        seeds = [group[0].port]
        with (
            swim_processes(["thief"], key=OTHER_KEY, seeds=seeds) as (thief,),
            swim_processes(["green"], key=KEY, cluster="green", seeds=seeds) as (green,),
            swim_processes(["naked"], seeds=seeds) as (naked,),
        ):
            for stranger, ours, theirs in (
                (thief, "undecryptable", "undecryptable"),
                (green, "wrong_group", "wrong_group"),
                (naked, "undecryptable", "malformed"),
            ):
                _until_refused(group[0], ours)
                _until_refused(stranger, theirs)
            _until_complete(group)
            assert all(set(node.state()["members"]) == {"n0", "n1"} for node in group)
            assert [set(node.state()["members"]) for node in (thief, green, naked)] == [{"thief"}, {"green"}, {"naked"}]


def _until_refused(node: SwimProcess, reason: str) -> None:
    eventually(
        lambda: (
            node.state()["refusals"].get(reason, 0) > 0 and any(told["refused"] == reason for told in node.refusals)
        ),
        what=f"{node.node_id} refuses: {reason}",
    )
