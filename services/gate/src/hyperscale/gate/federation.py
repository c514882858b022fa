"""Which datacenters can be reached, and which are lost.

Laws: a datacenter is lost when its leader has not answered probes for long, and none of its managers speaks on its stream; while
several fail together, or it is not yet certain whether they do, none is lost: the network between them is the likelier cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.gate.manager_order import addresses_in_order
from hyperscale.gate.registry import MAX_DATACENTERS, ManagerRegistry
from hyperscale.routing.models.candidates import RoundTrip
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.swim.correlation import CorrelationConfig, CorrelationDetector, DatacenterCondition
from hyperscale.swim.federation import (
    CrossMessage,
    CrossRefusal,
    DatacenterView,
    FederationConfig,
    FederationProber,
    Reachability,
    ReachabilityChanged,
)
from hyperscale.swim.models import Identity, NodeAddress
from hyperscale.v1 import gate_service_pb2
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimEnvelope

_LOOK_SECONDS: Final = 1.0
_MS_PER_SECOND: Final = 1000.0
_SHOWN: Final[Mapping[Reachability, gate_service_pb2.DatacenterReachability.ValueType]] = {
    Reachability.UNREACHABLE: gate_service_pb2.DATACENTER_REACHABILITY_UNREACHABLE,
    Reachability.REACHABLE: gate_service_pb2.DATACENTER_REACHABILITY_REACHABLE,
    Reachability.SUSPECTED: gate_service_pb2.DATACENTER_REACHABILITY_SUSPECTED,
}


class DatacenterWatch:
    """Probes the leader of each datacenter that has registered, over the port of this gate."""

    def __init__(self, registry: ManagerRegistry, config: FederationConfig, logger: FilteringBoundLogger) -> None:
        self._registry = registry
        self._prober = FederationProber(replace(config, datacenters_max=MAX_DATACENTERS))
        self._correlation = CorrelationDetector(CorrelationConfig(datacenters_max=MAX_DATACENTERS))
        self._logger = logger
        self._holds_back = False
        self._next_look_at = 0.0
        self._refused: Counter[CrossRefusal] = Counter()
        self._refusing: frozenset[CrossRefusal] = frozenset()

    def is_lost(self, datacenter: str) -> bool:
        """Whether to give up on what a datacenter has taken over."""
        view = self._prober.view(datacenter)
        answers = view is not None and view.state is not Reachability.UNREACHABLE
        return self._registry.is_silent(datacenter) and not answers and not self._holds_back

    def describe(self, info: gate_service_pb2.DatacenterInfo) -> gate_service_pb2.DatacenterInfo:
        """Add what the probes tell of a datacenter."""
        view = self._prober.view(info.datacenter)
        info.reachability = _SHOWN[Reachability.UNREACHABLE if view is None else view.state]
        if view is not None:
            _add_round_trips(info, view)
        return info

    def round_trip(self, datacenter: str, now: float) -> RoundTrip | None:
        """What probes have measured of the way to a datacenter, as routing is told it; None while it cannot be reached."""
        view = self._prober.view(datacenter)
        if view is None or view.state is Reachability.UNREACHABLE:
            return None
        if view.rtt_seconds is None or view.rtt_upper_seconds is None or view.answered_at is None:
            return None
        # A single long one does not make it more uncertain than half its length.
        sigma_seconds = min((view.rtt_upper_seconds - view.rtt_seconds) / 2, view.rtt_seconds / 2)
        return RoundTrip(
            view.rtt_seconds * _MS_PER_SECOND,
            sigma_seconds * _MS_PER_SECOND,
            samples=view.samples,
            age_seconds=now - view.answered_at,
        )

    def answer(self, datacenter: str) -> SwimCrossAck | None:
        """What the leader of a datacenter has said last; None while it cannot be reached."""
        view = self._prober.view(datacenter)
        return None if view is None or view.state is Reachability.UNREACHABLE else view.health

    def receive(self, envelope: SwimEnvelope, sender: Identity, source: NodeAddress, now: float) -> bool:
        """Take in an answer of a manager; false when it is none."""
        return self._prober.receive(envelope, sender, source, now)

    def messages_to_send(self) -> list[CrossMessage]:
        """Return the probes that are due."""
        return self._prober.messages_to_send()

    def events(self) -> list[ReachabilityChanged]:
        """Return what has happened since the last call."""
        return self._prober.events()

    def next_deadline(self) -> float:
        """Return when `handle_timer` is to be called."""
        probe_at = self._prober.next_deadline()
        return self._next_look_at if probe_at is None else min(self._next_look_at, probe_at)

    def handle_timer(self, now: float) -> None:
        """Look who has registered and who is silent, and probe."""
        if now >= self._next_look_at:
            self._next_look_at = now + _LOOK_SECONDS
            self._look(now)
        self._prober.handle_timer(now)

    def _look(self, now: float) -> None:
        for name in self._registry.datacenter_names:
            endpoints = map(Endpoint.parse, addresses_in_order(self._registry.connected(name), now))
            managers = [NodeAddress(endpoint.host, endpoint.port) for endpoint in endpoints]
            if managers:
                self._prober.watch(name, managers, now)
            self._correlation.watch(name)
            self._note(name, now)
        self._judge(now)
        self._tell_refusals()

    def _tell_refusals(self) -> None:
        """Say once that answers begin to be refused: without that, a leader looks silent that answers."""
        refused = Counter(self._prober.refusals)
        # Late answers are no news: their probes have failed.
        del refused[CrossRefusal.UNASKED]
        refusing = frozenset(refused - self._refused)
        for reason in sorted(refusing - self._refusing):
            self._logger.warning("answers to probes are refused", reason=reason.value)
        self._refused, self._refusing = refused, refusing

    def _note(self, name: str, now: float) -> None:
        """Tell the detector how a datacenter is. One that never answered a probe fails when it is silent otherwise, too."""
        view = self._prober.view(name)
        is_silent = self._registry.is_silent(name)
        if view is not None and view.state is Reachability.REACHABLE:
            self._correlation.recovered(name, now)
            if view.rtt_seconds is not None:
                self._correlation.answered(name, view.rtt_seconds, now)
        elif view is not None and view.health is not None:
            self._correlation.failed(name, view.since)
        elif is_silent:
            self._correlation.failed(name, max(self._registry.heard_at(name), 0.0))
        else:
            self._correlation.recovered(name, now)

    def _judge(self, now: float) -> None:
        correlation = self._correlation.assess(now)
        is_undecided = any(
            self._correlation.condition(name, now) is DatacenterCondition.FAILING for name in correlation.datacenters
        )
        if correlation.delays_eviction and not self._holds_back:
            names = ", ".join(correlation.datacenters)
            self._logger.warning("datacenters fail together: none is given up", datacenters=names)
        self._holds_back = correlation.delays_eviction or is_undecided


def _add_round_trips(info: gate_service_pb2.DatacenterInfo, view: DatacenterView) -> None:
    if view.rtt_seconds is not None and view.rtt_upper_seconds is not None:
        info.rtt_ms = view.rtt_seconds * _MS_PER_SECOND
        info.rtt_upper_ms = view.rtt_upper_seconds * _MS_PER_SECOND
        info.rtt_samples = view.samples
