"""Whom the gate asks what every manager of a datacenter can tell."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hyperscale.gate.capacity import FRESH_SECONDS
from hyperscale.gate.datacenter_calls import DatacenterCaller
from hyperscale.gate.peers import ManagerPeers
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.circuits import CircuitPolicy, Circuits
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.v1 import node_pb2
from hyperscale.v1.node_pb2 import NODE_STATE_DRAINING
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import heartbeat, refusal

HOME = NodeIdentity("g1", node_pb2.NODE_ROLE_GATE, "local", "hyperscale", "default")


class TurnedClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass(slots=True)
class Datacenter:
    """The managers of one datacenter: m0, m1, …; each takes its time to answer, or fails."""

    managers: int
    gate_id: str = "g1"
    seconds: dict[str, float] = field(default_factory=dict)
    failing: dict[str, ErrorReason] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    clock: TurnedClock = field(default_factory=TurnedClock)
    silent: set[str] = field(default_factory=set)
    registry: ManagerRegistry = field(init=False)
    circuits: Circuits = field(init=False)
    peers: ManagerPeers = field(init=False)

    def __post_init__(self) -> None:
        self.registry = ManagerRegistry(HOME, 10.0, self.clock)
        self.circuits = Circuits(CircuitPolicy(), self.clock)
        caller = DatacenterCaller(self.registry, self.circuits, self.clock, 10.0)
        self.peers = ManagerPeers(
            gate_id=self.gate_id,
            registry=self.registry,
            caller=caller,
            circuits=self.circuits,
            clock=self.clock,
            dice=random.Random(1),
        )
        for number in range(self.managers):
            self.enter(f"m{number}")

    def enter(self, name: str, state: node_pb2.NodeState.ValueType = node_pb2.NODE_STATE_ACTIVE) -> None:
        endpoint = node_pb2.Endpoint(host=name, port=1)
        self.registry.register(heartbeat("east", node_id=name, endpoint=endpoint, state=state))

    async def ask(self, times: int = 1) -> Counter[str]:
        """Ask so often; returns who has answered."""
        answers: Counter[str] = Counter()
        for _ in range(times):
            for manager in self.registry.connected("east"):
                if manager.heartbeat.node.node_id not in self.silent:
                    self.registry.hear(manager.heartbeat)
            answers[await self.peers.ask("east", self._answer)] += 1
        return answers

    async def _answer(self, address: str) -> str:
        name = address.partition(":")[0]
        self.asked[name] += 1
        self.clock.now += self.seconds.get(name, 0.001)
        if name in self.failing:
            raise refusal(self.failing[name])
        return name


@pytest.mark.requirement("AD-28.4")
async def test_a_gate_keeps_to_three_of_many_managers_and_prefers_the_near_ones() -> None:
    east = Datacenter(12)
    usual = set(await east.ask(30))
    assert len(usual) == 3
    near, middle, far = sorted(usual)
    east.seconds = {near: 0.001, middle: 0.02, far: 0.1}
    for _ in range(40):
        await east.ask(5)
    shares = await east.ask(200)
    assert set(shares) <= usual
    assert shares[near] > 1.5 * shares[middle] > shares[far] == 0


@pytest.mark.requirement("AD-28.4")
async def test_gates_meet_different_managers_so_that_all_of_them_are_used() -> None:
    met = [frozenset(await Datacenter(12, f"g{number}").ask(30)) for number in range(30)]
    assert len(set(met)) > 20
    assert len(frozenset[str]().union(*met)) == 12
    assert frozenset(await Datacenter(12, "g7").ask(30)) == met[7]


def go(east: Datacenter, name: str) -> None:
    session = east.registry.session_of(name)
    assert session is not None
    east.registry.leave(name, session)


def drain(east: Datacenter, name: str) -> None:
    east.enter(name, NODE_STATE_DRAINING)


def fall_silent(east: Datacenter, name: str) -> None:
    east.silent.add(name)
    east.clock.now += FRESH_SECONDS + 0.1


def fail_calls(east: Datacenter, name: str) -> None:
    for _ in range(3):
        with pytest.raises(HyperscaleError), east.circuits.call(f"{name}:1"):
            raise refusal(ErrorReason.PEER_UNREACHABLE)


@pytest.mark.requirement("AD-28.4")
@pytest.mark.parametrize("falls_ill", [go, drain, fall_silent, fail_calls])
async def test_a_manager_that_is_ill_is_replaced_and_the_others_are_kept(
    falls_ill: Callable[[Datacenter, str], None],
) -> None:
    east = Datacenter(12)
    ill, *kept = sorted(set(await east.ask(30)))
    falls_ill(east, ill)
    now = set(await east.ask(30))
    assert len(now) == 3
    assert now > set(kept)
    assert ill not in now


async def test_another_manager_answers_when_one_does_not() -> None:
    east = Datacenter(3, failing={"m0": ErrorReason.PEER_UNREACHABLE, "m1": ErrorReason.DEADLINE_EXCEEDED})
    assert await east.ask(20) == {"m2": 20}
    assert east.asked["m0"] + east.asked["m1"] < 10


async def test_an_answer_about_the_question_is_final_and_without_managers_the_reason_is_told() -> None:
    east = Datacenter(3, failing=dict.fromkeys(("m0", "m1", "m2"), ErrorReason.INVALID_ARGUMENT))
    with pytest.raises(HyperscaleError) as caught:
        await east.ask()
    assert (caught.value.reason, east.asked.total()) == (ErrorReason.INVALID_ARGUMENT, 1)
    with pytest.raises(HyperscaleError) as caught:
        await Datacenter(0).ask()
    assert caught.value.reason is ErrorReason.DATACENTER_UNAVAILABLE
    all_fail = Datacenter(9, failing={f"m{number}": ErrorReason.PEER_UNREACHABLE for number in range(9)})
    with pytest.raises(HyperscaleError) as caught:
        await all_fail.ask()
    assert (caught.value.reason, all_fail.asked.total()) == (ErrorReason.PEER_UNREACHABLE, 3)


async def test_one_that_was_slow_long_ago_is_tried_again() -> None:
    east = Datacenter(3, seconds={"m0": 2.0})
    assert (await east.ask(100))["m0"] < 10
    east.seconds = {}
    assert not (await east.ask(50))["m0"]
    east.clock.now += 400.0
    assert (await east.ask(50))["m0"] > 5


async def test_two_managers_that_hang_do_not_keep_the_third_one_from_answering(start_gate: StartGate) -> None:
    gate = await start_gate(call_timeout_seconds=0.2)
    for name in ("m0", "m1", "m2"):
        endpoint = node_pb2.Endpoint(host=name, port=1)
        await gate.node.registrations.register(heartbeat("east", node_id=name, endpoint=endpoint))
        gate.datacenters.delays_seconds[f"{name}:1"] = 0.2
        gate.datacenters.answers[f"{name}:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    del gate.datacenters.answers["m1:1"]
    with_hung_ones = [await gate.node.views.nodes() for _ in range(3)]
    assert not any(answer.unanswered for answer in with_hung_ones)
    began_at = time.monotonic()
    gate.datacenters.delays_seconds["m1:1"] = 60.0
    (silent,) = (await gate.node.views.nodes()).unanswered
    assert silent.error == "no answer within 1.1 s"
    assert time.monotonic() - began_at < 30
