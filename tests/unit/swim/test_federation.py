from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from hyperscale.swim.federation import (
    CrossRefusal,
    FederationConfig,
    FederationProber,
    Reachability,
    ReachabilityChanged,
    answer_cross_probe,
)
from hyperscale.swim.models import NodeAddress
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimCrossNack, SwimCrossProbe, SwimEnvelope

MANAGERS = [NodeAddress(f"m{n}", 7000) for n in range(3)]


@dataclass(slots=True)
class Site:
    """A datacenter with three managers on a virtual clock, behind a link."""

    one_way_seconds: float = 0.001
    leader: NodeAddress | None = MANAGERS[0]
    term: int = 1
    incarnations: dict[str, int] = field(default_factory=dict)
    names_leader: bool = True
    is_cut: bool = False
    now: float = 100.0
    prober: FederationProber = field(default_factory=lambda: FederationProber(FederationConfig()))
    changes: list[tuple[float, ReachabilityChanged]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prober.watch("east", MANAGERS, self.now)

    def state(self) -> Reachability:
        view = self.prober.view("east")
        assert view is not None
        return view.state

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            timer = self.prober.next_deadline()
            arrival = self._queue[0][0] if self._queue else end + 1
            following = min(arrival, timer if timer is not None else end + 1)
            if following > end:
                break
            self.now = following
            if arrival <= following:
                heapq.heappop(self._queue)[2]()
            else:
                self.prober.handle_timer(self.now)
            self._flush()
        self.now = end

    def _flush(self) -> None:
        self.changes += [(self.now, change) for change in self.prober.events()]
        for message in self.prober.messages_to_send():
            if not self.is_cut:
                probe = SwimEnvelope.FromString(message.body).cross_probe
                self._later(lambda probe=probe, to=message.address: self._answer(probe, to))  # type: ignore[misc]

    def _answer(self, probe: SwimCrossProbe, manager: NodeAddress) -> None:
        leads = manager == self.leader
        health = SwimCrossAck(leader_term=self.term, total_cores=8) if leads else None
        body = answer_cross_probe(probe, "east", health, self.leader if self.names_leader else None)
        self._later(lambda: self._receive(body, manager))

    def _receive(self, body: bytes, manager: NodeAddress) -> None:
        envelope = SwimEnvelope.FromString(body)
        if envelope.HasField("cross_nack"):
            self.prober.receive_nack(envelope.cross_nack, self.now)
        else:
            incarnation = self.incarnations.get(manager.host, 1)
            self.prober.receive_ack(envelope.cross_ack, manager.host, incarnation, manager, self.now)

    def _later(self, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + self.one_way_seconds, next(self._order), action))


def test_a_datacenter_is_unreachable_until_its_leader_answers() -> None:
    site = Site()
    assert site.state() is Reachability.UNREACHABLE
    site.run(0.01)
    assert site.state() is Reachability.REACHABLE
    view = site.prober.view("east")
    assert view is not None
    assert view.health is not None
    assert (view.leader, view.health.total_cores) == (MANAGERS[0], 8)
    assert view.rtt_seconds == pytest.approx(0.002)


@pytest.mark.requirement("AD-33.3")
def test_reachability_follows_probes_and_acks() -> None:
    site = Site()
    site.run(10)
    site.is_cut, cut_at = True, site.now
    site.run(20)
    assert site.state() is Reachability.SUSPECTED
    site.run(30)
    assert site.state() is Reachability.UNREACHABLE
    site.is_cut, healed_at = False, site.now
    site.run(3)
    assert site.state() is Reachability.REACHABLE
    states = [change.state for _, change in site.changes]
    assert states == [Reachability.REACHABLE, Reachability.SUSPECTED, Reachability.UNREACHABLE, Reachability.REACHABLE]
    suspected_at, unreachable_at, back_at = (at for at, _ in site.changes[1:])
    assert 11 <= suspected_at - cut_at <= 15
    assert unreachable_at - suspected_at == pytest.approx(30)
    assert back_at - healed_at <= 2.1


@pytest.mark.requirement("AD-33.3")
def test_a_short_silence_is_forgiven() -> None:
    site = Site()
    site.run(10)
    site.is_cut = True
    site.run(20)
    site.is_cut = False
    site.run(60)
    assert [change.state for _, change in site.changes] == [
        Reachability.REACHABLE,
        Reachability.SUSPECTED,
        Reachability.REACHABLE,
    ]


@pytest.mark.requirement("AD-33.3")
@pytest.mark.parametrize("names_leader", [True, False])
def test_links_of_300_ms_are_tolerated_though_the_leader_must_be_found(names_leader: bool) -> None:
    site = Site(one_way_seconds=0.15, leader=MANAGERS[2], names_leader=names_leader)
    site.run(300)
    assert [change.state for _, change in site.changes] == [Reachability.REACHABLE]
    view = site.prober.view("east")
    assert view is not None
    assert view.rtt_seconds == pytest.approx(0.3)
    assert not site.prober.refusals


@pytest.mark.requirement("AD-33.3")
def test_answers_of_a_replaced_leader_or_an_earlier_life_change_nothing() -> None:
    site = Site(term=5, incarnations={"m0": 7})
    site.run(10)
    site.incarnations["m0"] = 6
    site.run(20)
    assert site.prober.refusals[CrossRefusal.STALE] > 0
    assert site.state() is Reachability.SUSPECTED
    site.term, site.leader = 4, MANAGERS[1]
    site.run(5)
    assert site.state() is Reachability.SUSPECTED
    site.term = 6
    site.run(5)
    assert site.state() is Reachability.REACHABLE


def test_a_leader_that_fails_is_replaced_without_suspicion() -> None:
    site = Site(term=1)
    site.run(10)
    site.leader = None
    site.run(4)
    site.term, site.leader = 2, MANAGERS[1]
    site.run(30)
    assert [change.state for _, change in site.changes] == [Reachability.REACHABLE]


def test_nobody_who_leads_is_no_answer() -> None:
    site = Site(leader=None)
    site.run(60)
    assert site.state() is Reachability.UNREACHABLE
    assert not site.changes


def test_an_answer_nobody_asked_for_is_refused() -> None:
    site = Site()
    site.run(1)
    prober, source = site.prober, MANAGERS[0]
    assert (
        prober.receive_ack(SwimCrossAck(sequence=999, datacenter="east"), "m0", 1, source, 0.0) is CrossRefusal.UNASKED
    )
    assert prober.receive_ack(SwimCrossAck(sequence=1, datacenter="west"), "m0", 1, source, 0.0) is CrossRefusal.UNASKED
    assert prober.receive_nack(SwimCrossNack(sequence=999, datacenter="east"), 0.0) is CrossRefusal.UNASKED
    assert prober.refusals == {CrossRefusal.UNASKED: 3}


def test_an_overlong_reason_is_refused() -> None:
    prober = FederationProber(FederationConfig())
    prober.watch("east", MANAGERS, 0.0)
    prober.handle_timer(0.0)
    ack = SwimCrossAck(sequence=1, datacenter="east", health_reason="x" * 257)
    assert prober.receive_ack(ack, "m0", 1, MANAGERS[0], 0.1) is CrossRefusal.OVERLONG_REASON


def test_a_manager_of_another_datacenter_is_silent() -> None:
    assert not answer_cross_probe(SwimCrossProbe(sequence=1, datacenter="west"), "east", SwimCrossAck(), None)


def test_what_is_watched_is_bounded_and_can_change() -> None:
    prober = FederationProber(FederationConfig(datacenters_max=1))
    with pytest.raises(ValueError, match="no manager"):
        prober.watch("east", [], 0.0)
    prober.watch("east", MANAGERS[:1], 0.0)
    prober.watch("east", MANAGERS[1:], 0.0)
    with pytest.raises(ValueError, match="watched already"):
        prober.watch("west", MANAGERS, 0.0)
    prober.handle_timer(0.0)
    assert [message.address for message in prober.messages_to_send()] == MANAGERS[1:2]
    prober.unwatch("east")
    assert prober.view("east") is None
    assert prober.next_deadline() is None


def test_configuration_names_its_faults() -> None:
    with pytest.raises(ValueError, match="probe_interval_seconds, failures_max"):
        FederationConfig(probe_interval_seconds=0, failures_max=0)


def test_a_datacenter_that_was_set_up_anew_is_found_again() -> None:
    site = Site(term=7, incarnations={"m0": 9})
    site.run(10)
    site.term, site.incarnations = 1, {}
    site.run(60)
    assert [change.state for _, change in site.changes] == [
        Reachability.REACHABLE,
        Reachability.SUSPECTED,
        Reachability.UNREACHABLE,
        Reachability.REACHABLE,
    ]
