"""Circuits open after failures, try again after a while, and close with an answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pytest

from hyperscale.runtime.circuits import CircuitPolicy, Circuits, CircuitState
from hyperscale.runtime.errors import ErrorReason, HyperscaleError

POLICY = CircuitPolicy(failures=3, window_seconds=30, half_open_after_seconds=10)


@dataclass(slots=True)
class HandClock:
    """Goes when it is told to."""

    now: float = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass(slots=True)
class Line:
    """Circuits and their time."""

    circuits: Circuits
    clock: HandClock

    def call(self, reason: ErrorReason | None, peer: str = "peer") -> None:
        with suppress(HyperscaleError), self.circuits.call(peer):
            if reason is not None:
                raise HyperscaleError(reason)

    def fail(self, times: int = 1, peer: str = "peer") -> None:
        for _ in range(times):
            self.call(ErrorReason.PEER_UNREACHABLE, peer)

    def is_now(self, state: CircuitState) -> bool:
        return self.circuits.state("peer") is state


@pytest.fixture
def line() -> Line:
    clock = HandClock()
    return Line(Circuits(POLICY, clock), clock)


@pytest.mark.requirement("AD-21.1")
def test_it_opens_after_three_failures_tries_again_after_ten_seconds_and_closes_with_an_answer(line: Line) -> None:
    line.fail(2)
    assert line.circuits.admits("peer")
    line.fail()
    assert (line.is_now(CircuitState.OPEN), line.circuits.admits("peer")) == (True, False)
    line.clock.now = 9.9
    assert line.is_now(CircuitState.OPEN)
    line.clock.now = 10.0
    assert (line.is_now(CircuitState.HALF_OPEN), line.circuits.admits("peer")) == (True, True)
    line.fail()
    assert line.is_now(CircuitState.OPEN)
    line.clock.now = 20.0
    line.call(None)
    assert (line.is_now(CircuitState.CLOSED), len(line.circuits)) == (True, 0)


def test_while_one_call_tries_a_peer_no_other_does(line: Line) -> None:
    line.fail(3)
    line.clock.now = 10.0
    with line.circuits.call("peer"):
        assert not line.circuits.admits("peer")
    assert line.circuits.admits("peer")


def test_a_try_that_was_cancelled_leaves_room_for_the_next(line: Line) -> None:
    line.fail(3)
    line.clock.now = 10.0
    with pytest.raises(asyncio.CancelledError), line.circuits.call("peer"):
        raise asyncio.CancelledError
    assert line.is_now(CircuitState.HALF_OPEN)
    assert line.circuits.admits("peer")


def test_only_failures_of_the_peer_count_and_only_those_of_the_window(line: Line) -> None:
    for _ in range(5):
        line.call(ErrorReason.NOT_LEADER)
    assert line.is_now(CircuitState.CLOSED)
    line.fail(2)
    line.call(None)
    line.clock.now = 30.1
    line.fail()
    assert line.is_now(CircuitState.CLOSED)
    line.fail()
    line.call(None)
    line.fail()
    assert line.is_now(CircuitState.OPEN)


def test_a_refusal_is_an_answer_and_closes_an_open_circuit(line: Line) -> None:
    line.fail(3)
    line.clock.now = 10.0
    line.call(ErrorReason.TOO_MANY_JOBS)
    assert line.is_now(CircuitState.CLOSED)


def test_a_new_life_of_a_peer_starts_without_a_past(line: Line) -> None:
    line.fail(3)
    line.circuits.forget("peer")
    assert line.circuits.admits("peer")


def test_peers_are_apart_and_their_number_is_bounded() -> None:
    clock = HandClock()
    line = Line(Circuits(POLICY, clock, peers_max=5), clock)
    for index in range(20):
        line.fail(3, f"peer-{index}")
    assert len(line.circuits) == 5
    assert line.circuits.state("peer-19") is CircuitState.OPEN
    assert line.circuits.state("peer-0") is CircuitState.CLOSED
