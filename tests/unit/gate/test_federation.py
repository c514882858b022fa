"""Which datacenters a gate can reach, and which it gives up."""

from __future__ import annotations

import pytest
import structlog

from hyperscale.gate.census import merged
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.errors import ErrorReason
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.swim.federation import FederationConfig
from hyperscale.swim.models import Identity, NodeAddress, Role
from hyperscale.v1 import gate_service_pb2, node_pb2
from hyperscale.v1.membership_service_pb2 import NodeListResponse, NodeStatus, UnansweredDatacenter
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimEnvelope, SwimSender
from tests.unit.gate.harness import GateInMemory, heartbeat, refusal

GRACE_SECONDS = 10.0


class Timeline:
    """A gate's watch over datacenters that answer while they are up, on a clock of its own."""

    def __init__(self, *datacenters: str) -> None:
        self.now = 1000.0
        home = NodeIdentity("g1", node_pb2.NODE_ROLE_GATE, "local", "hyperscale", "default")
        self.registry = ManagerRegistry(home, GRACE_SECONDS, self)
        self.lines = structlog.testing.CapturingLogger()
        logger = structlog.wrap_logger(self.lines, processors=[])
        self.watch = DatacenterWatch(self.registry, FederationConfig.lan(), logger)
        self.term = 2
        self.speaking = set(datacenters)
        """Whose managers speak on their streams."""
        self.answering = set(datacenters)
        """Whose managers answer probes."""
        for name in datacenters:
            self.registry.register(heartbeat(name))
        self.run(5)

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def down(self, *datacenters: str) -> None:
        self.speaking -= set(datacenters)
        self.answering -= set(datacenters)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            for name in self.speaking:
                self.registry.hear(heartbeat(name))
            self.watch.handle_timer(self.now)
            self._answer()

    def _answer(self) -> None:
        for message in self.watch.messages_to_send():
            probe = SwimEnvelope.FromString(message.body).cross_probe
            if probe.datacenter in self.answering:
                ack = SwimCrossAck(sequence=probe.sequence, datacenter=probe.datacenter, leader_term=self.term)
                envelope = SwimEnvelope(sender=SwimSender(incarnation=1), cross_ack=ack)
                manager = Identity("m", Role.MANAGER, message.address, "c", "e", probe.datacenter)
                assert self.watch.receive(envelope, manager, message.address, self.now + 0.02)

    def lost(self, *datacenters: str) -> list[str]:
        return [name for name in datacenters if self.watch.is_lost(name)]

    def info(self, name: str) -> gate_service_pb2.DatacenterInfo:
        return self.watch.describe(gate_service_pb2.DatacenterInfo(datacenter=name))


def test_a_datacenter_shows_reachability_and_round_trips() -> None:
    line = Timeline("east")
    info = line.info("east")
    assert info.reachability == gate_service_pb2.DATACENTER_REACHABILITY_REACHABLE
    assert (info.rtt_ms, info.rtt_upper_ms) == pytest.approx((20, 20))
    line.down("east")
    line.run(8)
    assert line.info("east").reachability == gate_service_pb2.DATACENTER_REACHABILITY_SUSPECTED
    line.run(5)
    info = line.info("east")
    assert info.reachability == gate_service_pb2.DATACENTER_REACHABILITY_UNREACHABLE
    assert info.HasField("rtt_ms")


def test_answers_that_are_refused_are_told_of_once_until_it_is_over() -> None:
    line = Timeline("east")
    line.term = 1
    line.run(60)
    assert line.info("east").reachability == gate_service_pb2.DATACENTER_REACHABILITY_REACHABLE
    assert [call.kwargs for call in line.lines.calls] == [{"event": "answers to probes are refused", "reason": "stale"}]


def test_what_nobody_watches_is_unreachable_without_round_trips() -> None:
    info = Timeline().info("mars")
    assert info.reachability == gate_service_pb2.DATACENTER_REACHABILITY_UNREACHABLE
    assert not info.HasField("rtt_ms")


def test_a_datacenter_is_lost_when_probes_and_streams_are_silent() -> None:
    line = Timeline("east", "west")
    line.down("east")
    line.run(9)
    assert not line.lost("east", "west")
    line.run(6)
    assert line.lost("east", "west") == ["east"]


@pytest.mark.parametrize("silent", ["speaking", "answering"])
def test_one_sign_of_life_is_enough(silent: str) -> None:
    line = Timeline("east")
    getattr(line, silent).clear()
    line.run(60)
    assert not line.lost("east")


@pytest.mark.requirement("AD-48.1")
def test_datacenters_that_fail_together_are_given_up_later() -> None:
    names = ("d1", "d2", "d3", "d4")
    line = Timeline(*names)
    line.down("d1", "d2", "d3")
    for _ in range(60):
        line.run(1)
        assert not line.lost(*names)
    line.run(60)
    assert line.lost(*names) == ["d1", "d2", "d3"]


@pytest.mark.requirement("AD-48.1")
def test_datacenters_that_fail_together_and_come_back_were_never_lost() -> None:
    names = ("d1", "d2", "d3")
    line = Timeline(*names)
    line.down(*names)
    line.run(40)
    assert not line.lost(*names)
    line.speaking, line.answering = set(names), set(names)
    line.run(3)
    assert {line.info(name).reachability for name in names} == {gate_service_pb2.DATACENTER_REACHABILITY_REACHABLE}
    assert not line.lost(*names)


def test_the_nodes_of_datacenters_that_answer_are_listed_and_the_others_named_by_fault() -> None:
    gates = NodeListResponse(nodes=[status(node_pb2.NODE_ROLE_GATE, "local", "g1")])
    east = NodeListResponse(
        nodes=[status(node_pb2.NODE_ROLE_WORKER, "east", "w1"), status(node_pb2.NODE_ROLE_MANAGER, "east", "m1")],
        left_out=2,
    )
    west = NodeListResponse(unanswered=[UnansweredDatacenter(datacenter="west", error="gone")])
    whole = merged([gates, west, east])
    assert [each.node.node_id for each in whole.nodes] == ["g1", "m1", "w1"]
    assert [(each.datacenter, each.error) for each in whole.unanswered] == [("west", "gone")]
    assert whole.left_out == 2
    bounded = merged([gates, west, east], nodes_max=2)
    assert ([each.node.node_id for each in bounded.nodes], bounded.left_out) == (["g1", "m1"], 3)


async def test_a_gate_asks_every_datacenter_for_its_nodes(gate: GateInMemory) -> None:
    gate.datacenters.answers["west:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    answer = await gate.node.views.nodes()
    assert [each.node.node_id for each in answer.nodes] == ["manager-east"]
    assert [each.datacenter for each in answer.unanswered] == ["west"]
    assert answer.unanswered[0].error


def status(role: node_pb2.NodeRole.ValueType, datacenter: str, node_id: str) -> NodeStatus:
    return NodeStatus(node=node_pb2.NodeInfo(node_id=node_id, role=role, datacenter=datacenter))


def test_managers_are_asked_at_the_address_they_registered_with() -> None:
    line = Timeline("east")
    line.watch.handle_timer(line.now + 2)
    assert {message.address for message in line.watch.messages_to_send()} == {NodeAddress("east", 1)}
