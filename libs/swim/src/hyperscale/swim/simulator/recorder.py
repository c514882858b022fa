"""What happened in a simulation, beside what was true."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyperscale.swim import events
from hyperscale.swim.models import Member, MemberState

_PRESENT = frozenset({MemberState.ALIVE, MemberState.SUSPECT})


@dataclass(slots=True)
class Detection:
    """A crash, and when it was known."""

    node: int
    crashed_at: float
    first_at: float | None = None
    """When the first node declared it dead."""
    everywhere_at: float | None = None
    """When no running node counted it among the present any longer."""
    unaware: set[int] = field(default_factory=set)
    """Running nodes that still count it."""

    def aware(self, node: int, now: float) -> None:
        """A node counts it no longer, or does not run any longer itself."""
        self.unaware.discard(node)
        if not self.unaware and self.everywhere_at is None:
            self.everywhere_at = now


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """A running node that was declared dead."""

    at: float
    observer: int
    node: int
    is_first_hand: bool
    """Whether the observer's own suspicion ran out; otherwise it heard of it."""


class GroupRecorder:
    """Follows every node's view by its events. Nodes are numbers, named `n0`, `n1` and so on."""

    def __init__(self, nodes: int) -> None:
        self.detections: list[Detection] = []
        self.false_positives: list[FalsePositive] = []
        self.datagrams_sent = [0] * nodes
        self.bytes_sent = [0] * nodes
        self.streams_opened = 0
        self.suspicions = 0
        self._running: set[int] = set()
        self._open: dict[int, Detection] = {}
        self._views: list[dict[int, MemberState]] = [{} for _ in range(nodes)]

    @property
    def running(self) -> frozenset[int]:
        """Nodes that are up."""
        return frozenset(self._running)

    def forget_traffic(self) -> None:
        """Count messages anew."""
        self.datagrams_sent = [0] * len(self.datagrams_sent)
        self.bytes_sent = [0] * len(self.bytes_sent)
        self.streams_opened = 0

    def started(self, node: int, known: frozenset[int]) -> None:
        """Note a start, with those it knows from the beginning."""
        self._running.add(node)
        self._open.pop(node, None)
        self._views[node] = dict.fromkeys(known - {node}, MemberState.ALIVE)

    def crashed(self, node: int, now: float) -> None:
        """Note a crash."""
        self._stopped(node, now)
        unaware = {other for other in self._running if self._views[other].get(node) in _PRESENT}
        detection = Detection(node, now, unaware=unaware)
        self.detections.append(detection)
        self._open[node] = detection

    def left(self, node: int, now: float) -> None:
        """Note that a node has gone for good, as it said."""
        self._stopped(node, now)

    def note(self, observer: int, event: events.Event, now: float) -> None:
        """Take in what a node told its owner."""
        match event:
            case events.MemberConfirmed(member=member) | events.MemberRecovered(member=member):
                self._views[observer][_number(member)] = member.state
            case events.MemberSuspected(member=member):
                self._views[observer][_number(member)] = MemberState.SUSPECT
                self.suspicions += 1
            case events.MemberDied(member=member, accuser_id=accuser_id):
                self._declared_dead(observer, _number(member), accuser_id == f"n{observer}", now)
            case events.MemberLeft(member=member) | events.MemberForgotten(member=member):
                self._unseen(observer, _number(member), now)

    def disagreements(self) -> list[tuple[int, int]]:
        """Pairs of a running node and one that it sees otherwise than it is: running and not alive, or the other way round."""
        return [
            (observer, node)
            for observer in sorted(self._running)
            for node in range(len(self._views))
            if node != observer and (self._views[observer].get(node) is MemberState.ALIVE) != (node in self._running)
        ]

    @property
    def is_agreed(self) -> bool:
        """Whether every running node sees all running ones alive, and no other."""
        for observer in self._running:
            view = self._views[observer]
            if len(view) != len(self._running) - 1:
                return False
            if any(state is not MemberState.ALIVE or node not in self._running for node, state in view.items()):
                return False
        return True

    def _stopped(self, node: int, now: float) -> None:
        self._running.discard(node)
        self._views[node] = {}
        for detection in self._open.values():
            detection.aware(node, now)

    def _declared_dead(self, observer: int, node: int, is_first_hand: bool, now: float) -> None:
        if node in self._running:
            self.false_positives.append(FalsePositive(now, observer, node, is_first_hand))
        elif (detection := self._open.get(node)) is not None and detection.first_at is None:
            detection.first_at = now
        self._unseen(observer, node, now)

    def _unseen(self, observer: int, node: int, now: float) -> None:
        self._views[observer].pop(node, None)
        detection = self._open.get(node)
        if detection is not None:
            detection.aware(observer, now)


def _number(member: Member) -> int:
    return int(member.identity.node_id[1:])
