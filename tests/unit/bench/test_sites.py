"""Whether simulated gates see simulated datacenters as real gates see real ones."""

from __future__ import annotations

import random

import pytest
import structlog

from bench.routing.sites import Site
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.swim.federation import FederationConfig
from hyperscale.swim.models import Identity, Role
from hyperscale.v1 import node_pb2
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimEnvelope, SwimSender
from tests.unit.gate.harness import heartbeat


class Standstill:
    """A clock for which nothing is ever late."""

    def wall(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0


def test_a_way_is_as_long_and_as_uncertain_as_for_a_gate_that_has_measured_the_same() -> None:
    home = NodeIdentity("g1", node_pb2.NODE_ROLE_GATE, "local", "hyperscale", "default")
    registry = ManagerRegistry(home, 10.0, Standstill())
    registry.register(heartbeat("east"))
    watch = DatacenterWatch(
        registry, FederationConfig.lan(), structlog.wrap_logger(structlog.testing.CapturingLogger())
    )
    site = Site("east", 100.0, random.Random(1))
    for second in range(1, 41):
        site.settle(float(second))
        watch.handle_timer(float(second))
        for message in watch.messages_to_send():
            probe = SwimEnvelope.FromString(message.body).cross_probe
            ack = SwimCrossAck(sequence=probe.sequence, datacenter="east", leader_term=1)
            envelope = SwimEnvelope(sender=SwimSender(incarnation=1), cross_ack=ack)
            manager = Identity("m", Role.MANAGER, message.address, "c", "e", "east")
            assert watch.receive(envelope, manager, message.address, second + site.probes[-1] / 1000)
    measured, simulated = watch.round_trip("east", 40.0), site.known(40.0).round_trip
    assert measured is not None
    assert simulated is not None
    assert (simulated.rtt_ms, simulated.sigma_ms) == pytest.approx((measured.rtt_ms, measured.sigma_ms))
