"""Probes between groups: does a datacenter answer, and what does its leader say of it?

Gates probe; the manager that leads a datacenter answers for all of it, another one says who leads. No membership crosses the
border. Per datacenter:

    UNREACHABLE ─ ack → REACHABLE ─ several probes failed in a row → SUSPECTED ─ ack → REACHABLE
                                                                     SUSPECTED ─ time is up → UNREACHABLE

A probe fails when its answer has not come in time, so that a link may be as slow as the timeout. Answers of a leader that was
replaced, or of an earlier life of one, change nothing, until the datacenter has been unreachable.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hyperscale.swim.models import Identity, NodeAddress, Role
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimCrossNack, SwimCrossProbe, SwimEnvelope

REASON_MAX_BYTES = 256
_RECENT_ROUND_TRIPS = 16


class Reachability(StrEnum):
    """What a gate believes of a datacenter."""

    UNREACHABLE = "unreachable"
    """Has never answered, or not for long."""
    REACHABLE = "reachable"
    SUSPECTED = "suspected"
    """Does not answer at present; what runs there is left alone."""


class CrossRefusal(StrEnum):
    """Why an answer changed nothing."""

    UNASKED = "unasked"
    """No such probe is under way, or for another datacenter."""
    STALE = "stale"
    """From a leader that was replaced, or from an earlier life of the leader."""
    OVERLONG_REASON = "overlong_reason"


@dataclass(frozen=True, slots=True)
class FederationConfig:
    """How datacenters are probed."""

    probe_interval_seconds: float = 2.0
    """Between two probes of a datacenter. Shorter notices sooner and costs more messages."""
    probe_timeout_seconds: float = 5.0
    """Wait for an answer, being sent on to the leader included. Far above the longest round trip between datacenters."""
    failures_max: int = 5
    """Probes failed in a row that make a datacenter suspected. Lower notices sooner, with more false alarms."""
    suspicion_seconds: float = 30.0
    """How long a suspected datacenter may be silent before it is unreachable."""
    managers_max: int = 64
    """Addresses kept for one datacenter."""
    datacenters_max: int = 256
    """Datacenters probed."""

    @classmethod
    def wan(cls) -> FederationConfig:
        """Datacenters anywhere: one that falls silent is unreachable after three quarters of a minute."""
        return cls()

    @classmethod
    def lan(cls) -> FederationConfig:
        """Datacenters within a second of the gate: one that falls silent is unreachable after ten seconds."""
        return cls(probe_interval_seconds=1.0, probe_timeout_seconds=2.0, failures_max=3, suspicion_seconds=5.0)

    @classmethod
    def local(cls) -> FederationConfig:
        """Processes of one machine."""
        return cls(probe_interval_seconds=0.5, probe_timeout_seconds=1.0, failures_max=3, suspicion_seconds=2.0)

    def __post_init__(self) -> None:
        faults = [name for name in self.__slots__ if not getattr(self, name) > 0]
        if faults:
            raise ValueError(f"must be above 0: {', '.join(faults)}")


@dataclass(frozen=True, slots=True)
class ReachabilityChanged:
    """A datacenter's state is another one."""

    datacenter: str
    previous: Reachability
    state: Reachability


@dataclass(frozen=True, slots=True)
class CrossMessage:
    """A body to send to somebody outside the group."""

    address: NodeAddress
    body: bytes


@dataclass(frozen=True, slots=True)
class DatacenterView:
    """What is known of a datacenter."""

    datacenter: str
    state: Reachability
    since: float
    """Reading of the caller's clock when the state began."""
    rtt_seconds: float | None
    """Median of the last three round trips to the leader; none before the first answer."""
    rtt_upper_seconds: float | None
    """Longest of the last sixteen."""
    samples: int
    """Round trips that are known, of the last sixteen."""
    answered_at: float | None
    """Reading of the caller's clock at the latest one; none before the first answer."""
    leader: NodeAddress | None
    health: SwimCrossAck | None
    """What the leader said last."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """By which a leader's answers are put in order."""

    term: int
    node_id: str
    incarnation: int

    def is_stale_after(self, latest: _Standing) -> bool:
        if self.term != latest.term:
            return self.term < latest.term
        return self.node_id == latest.node_id and self.incarnation < latest.incarnation


@dataclass(slots=True)
class _Attempt:
    sent_at: float
    deadline: float
    asked: set[NodeAddress]


@dataclass(slots=True)
class _Datacenter:
    name: str
    managers: tuple[NodeAddress, ...]
    next_probe_at: float
    since: float
    state: Reachability = Reachability.UNREACHABLE
    turn: int = 0
    leader: NodeAddress | None = None
    failures: int = 0
    attempts: dict[int, _Attempt] = field(default_factory=dict)
    latest: _Standing | None = None
    health: SwimCrossAck | None = None
    answered_at: float | None = None
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_ROUND_TRIPS))

    def whom_to_ask(self) -> NodeAddress:
        return self.leader or self.managers[self.turn % len(self.managers)]

    def next_manager(self, asked: set[NodeAddress]) -> NodeAddress | None:
        return next((manager for manager in self.managers if manager not in asked), None)


class FederationProber:
    """The gate's side: probes the datacenters it is told to watch.

    Driven like the core: what arrives is given to `receive_ack` and `receive_nack`, `handle_timer` is called at
    `next_deadline`, and `messages_to_send` and `events` are taken after each.
    """

    def __init__(self, config: FederationConfig) -> None:
        self._config = config
        self._datacenters: dict[str, _Datacenter] = {}
        self._sequences = itertools.count(1)
        self._messages: list[CrossMessage] = []
        self._events: list[ReachabilityChanged] = []
        self.refusals: Counter[CrossRefusal] = Counter()

    def watch(self, datacenter: str, managers: Sequence[NodeAddress], now: float) -> None:
        """Probe a datacenter from now on, or go on with these addresses of its managers."""
        addresses = tuple(managers[: self._config.managers_max])
        if not addresses:
            raise ValueError(f"no manager of {datacenter!r} to probe")
        known = self._datacenters.get(datacenter)
        if known is not None:
            known.managers = addresses
            return
        if len(self._datacenters) >= self._config.datacenters_max:
            raise ValueError(f"{self._config.datacenters_max} datacenters are watched already")
        self._datacenters[datacenter] = _Datacenter(datacenter, addresses, now, now)

    def unwatch(self, datacenter: str) -> None:
        """Forget a datacenter."""
        self._datacenters.pop(datacenter, None)

    def view(self, datacenter: str) -> DatacenterView | None:
        """What is known of a datacenter; none when it is not watched."""
        known = self._datacenters.get(datacenter)
        if known is None:
            return None
        trips = sorted(list(known.round_trips)[-3:])
        return DatacenterView(
            known.name,
            known.state,
            known.since,
            rtt_seconds=trips[len(trips) // 2] if trips else None,
            rtt_upper_seconds=max(known.round_trips, default=None),
            samples=len(known.round_trips),
            answered_at=known.answered_at,
            leader=known.leader,
            health=known.health,
        )

    def receive(self, envelope: SwimEnvelope, sender: Identity, source: NodeAddress, now: float) -> bool:
        """Take in what a manager sent; false when it is no answer of one."""
        if sender.role is not Role.MANAGER:
            return False
        if envelope.HasField("cross_ack"):
            self.receive_ack(envelope.cross_ack, sender.node_id, envelope.sender.incarnation, source, now)
            return True
        if envelope.HasField("cross_nack"):
            self.receive_nack(envelope.cross_nack, now)
            return True
        return False

    def receive_ack(
        self, ack: SwimCrossAck, node_id: str, incarnation: int, source: NodeAddress, now: float
    ) -> CrossRefusal | None:
        """Take in a leader's answer; returns why not, if it changes nothing."""
        known = self._datacenters.get(ack.datacenter)
        standing = _Standing(ack.leader_term, node_id, incarnation)
        refusal = self._fault(known, ack.sequence)
        if refusal is None and len(ack.health_reason.encode()) > REASON_MAX_BYTES:
            refusal = CrossRefusal.OVERLONG_REASON
        if refusal is None and known is not None and known.latest is not None and standing.is_stale_after(known.latest):
            refusal = CrossRefusal.STALE
        if refusal is not None or known is None:
            return self._refuse(refusal or CrossRefusal.UNASKED)
        attempt = known.attempts.pop(ack.sequence)
        known.round_trips.append(now - attempt.sent_at)
        known.answered_at = now
        known.latest, known.health, known.leader, known.failures = standing, ack, source, 0
        self._become(known, Reachability.REACHABLE, now)
        return None

    def receive_nack(self, nack: SwimCrossNack, now: float) -> CrossRefusal | None:
        """Ask the leader that a manager names, or the next manager, within the time of the same probe."""
        known = self._datacenters.get(nack.datacenter)
        refusal = self._fault(known, nack.sequence)
        if refusal is not None or known is None:
            return self._refuse(refusal or CrossRefusal.UNASKED)
        attempt = known.attempts[nack.sequence]
        hint = NodeAddress(nack.leader_host, nack.leader_port) if nack.leader_host and nack.leader_port else None
        if hint is None or hint in attempt.asked:
            hint = known.next_manager(attempt.asked)
        known.leader = None
        if hint is not None and len(attempt.asked) <= len(known.managers):
            del known.attempts[nack.sequence]
            self._ask(known, hint, _Attempt(now, attempt.deadline, {*attempt.asked, hint}))
        return None

    def messages_to_send(self) -> list[CrossMessage]:
        """Return what is to be sent, and forget it."""
        messages, self._messages = self._messages, []
        return messages

    def events(self) -> list[ReachabilityChanged]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` is to be called."""
        return min(itertools.chain.from_iterable(map(self._deadlines, self._datacenters.values())), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for known in self._datacenters.values():
            self._expire(known, now)
            if known.state is Reachability.SUSPECTED and now - known.since >= self._config.suspicion_seconds:
                self._become(known, Reachability.UNREACHABLE, now)
            if known.next_probe_at <= now:
                known.next_probe_at = now + self._config.probe_interval_seconds
                address = known.whom_to_ask()
                self._ask(known, address, _Attempt(now, now + self._config.probe_timeout_seconds, {address}))

    def _deadlines(self, known: _Datacenter) -> Iterable[float]:
        yield known.next_probe_at
        yield from (attempt.deadline for attempt in known.attempts.values())
        if known.state is Reachability.SUSPECTED:
            yield known.since + self._config.suspicion_seconds

    def _expire(self, known: _Datacenter, now: float) -> None:
        late = [sequence for sequence, attempt in known.attempts.items() if attempt.deadline <= now]
        for sequence in late:
            del known.attempts[sequence]
            known.failures += 1
            known.turn += 1
            known.leader = None
        if known.state is Reachability.REACHABLE and known.failures >= self._config.failures_max:
            self._become(known, Reachability.SUSPECTED, now)

    def _ask(self, known: _Datacenter, address: NodeAddress, attempt: _Attempt) -> None:
        sequence = next(self._sequences)
        known.attempts[sequence] = attempt
        probe = SwimCrossProbe(sequence=sequence, datacenter=known.name)
        self._messages.append(CrossMessage(address, SwimEnvelope(cross_probe=probe).SerializeToString()))

    def _fault(self, known: _Datacenter | None, sequence: int) -> CrossRefusal | None:
        return CrossRefusal.UNASKED if known is None or sequence not in known.attempts else None

    def _refuse(self, refusal: CrossRefusal) -> CrossRefusal:
        self.refusals[refusal] += 1
        return refusal

    def _become(self, known: _Datacenter, state: Reachability, now: float) -> None:
        if known.state is state:
            return
        self._events.append(ReachabilityChanged(known.name, known.state, state))
        known.state, known.since = state, now
        if state is Reachability.UNREACHABLE:
            # Nothing of before can be under way any more; a datacenter that was set up anew counts its terms from 1.
            known.latest = None


class Spokesman(Protocol):
    """Knows what a manager has to say of its datacenter."""

    def health(self) -> SwimCrossAck | None:
        """What to say of the datacenter; none while this manager does not lead it. Sequence and datacenter are filled in."""
        ...

    def leader(self) -> NodeAddress | None:
        """Who leads it, as far as is known."""
        ...


class FederationResponder:
    """The manager's side: answers gates, and nobody else."""

    def __init__(self, datacenter: str, spokesman: Spokesman) -> None:
        self._datacenter = datacenter
        self._spokesman = spokesman
        self._messages: list[CrossMessage] = []

    def receive(self, envelope: SwimEnvelope, sender: Identity, source: NodeAddress, now: float) -> bool:
        """Answer a probe; false when it is none of a gate."""
        if sender.role is not Role.GATE or not envelope.HasField("cross_probe"):
            return False
        health = self._spokesman.health()
        leader = None if health is not None else self._spokesman.leader()
        body = answer_cross_probe(envelope.cross_probe, self._datacenter, health, leader)
        if body:
            self._messages.append(CrossMessage(source, body))
        return True

    def messages_to_send(self) -> list[CrossMessage]:
        """Return what is to be sent, and forget it."""
        messages, self._messages = self._messages, []
        return messages

    def events(self) -> list[ReachabilityChanged]:
        """Nothing: who answers believes nothing."""
        return []

    def next_deadline(self) -> float | None:
        """Nothing is ever due."""
        return None

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due."""


def answer_cross_probe(
    probe: SwimCrossProbe, datacenter: str, health: SwimCrossAck | None, leader: NodeAddress | None
) -> bytes:
    """Return the body with which a manager answers a gate; empty when another datacenter was meant.

    Parameters
    ----------
    health
        What to say of the datacenter, when this manager leads it; sequence and datacenter are filled in.
    leader
        Who leads it, if another manager does and is known.
    """
    if probe.datacenter != datacenter:
        return b""
    if health is not None:
        ack = SwimCrossAck()
        ack.CopyFrom(health)
        ack.sequence, ack.datacenter = probe.sequence, datacenter
        return SwimEnvelope(cross_ack=ack).SerializeToString()
    nack = SwimCrossNack(sequence=probe.sequence, datacenter=datacenter)
    if leader is not None:
        nack.leader_host, nack.leader_port = leader.host, leader.port
    return SwimEnvelope(cross_nack=nack).SerializeToString()
