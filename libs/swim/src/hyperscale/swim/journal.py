"""What happened: events for the owner, and counts of all that was refused or had no room."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hyperscale.swim.events import Event, InputRefused
from hyperscale.swim.models import NodeAddress
from hyperscale.swim.refusals import Overflow, RefusalReason

_REPEAT_SECONDS = 60.0
_SOURCES_MAX = 256


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts since the node was made."""

    refused: Mapping[RefusalReason, int]
    overflowed: Mapping[Overflow, int]
    datagrams_received: int
    bytes_received: int
    datagrams_sent: int
    bytes_sent: int
    probes: int
    probes_failed: int
    probes_saved_by_stream: int
    """Probes that only TCP answered: UDP is lost between the two nodes."""


@dataclass(slots=True)
class Traffic:
    """Counts that the parts of a node raise themselves."""

    datagrams_received: int = 0
    bytes_received: int = 0
    datagrams_sent: int = 0
    bytes_sent: int = 0
    probes: int = 0
    probes_failed: int = 0
    probes_saved_by_stream: int = 0


class Journal:
    """Events not yet taken, and counters. Bounded: the oldest event goes first, and is counted."""

    def __init__(self, events_max: int) -> None:
        self._events: deque[Event] = deque()
        self._events_max = events_max
        self._refused: Counter[RefusalReason] = Counter()
        self._overflowed: Counter[Overflow] = Counter()
        self._told: OrderedDict[tuple[RefusalReason, str], float] = OrderedDict()
        self.traffic = Traffic()

    def emit(self, event: Event) -> None:
        """Keep an event until it is taken."""
        if len(self._events) >= self._events_max:
            self._events.popleft()
            self._overflowed[Overflow.EVENTS] += 1
        self._events.append(event)

    def take_events(self) -> list[Event]:
        """Return what has happened since the last call."""
        if not self._events:
            return []
        events = list(self._events)
        self._events.clear()
        return events

    def refuse(self, reason: RefusalReason, source: NodeAddress, now: float, detail: str = "") -> bool:
        """Count a refusal; return whether it is told: seldom enough that a flood of bad input causes no flood of logs."""
        self._refused[reason] += 1
        key = (reason, source.host)
        last = self._told.get(key)
        if last is not None and now - last < _REPEAT_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > _SOURCES_MAX:
            self._told.popitem(last=False)
        self.emit(InputRefused(reason, source, detail, self._refused[reason]))
        return True

    def overflow(self, what: Overflow) -> None:
        """Count something that had no room."""
        self._overflowed[what] += 1

    def counters(self) -> Counters:
        """Return the counts as they are now."""
        traffic = self.traffic
        return Counters(
            refused=MappingProxyType(dict(self._refused)),
            overflowed=MappingProxyType(dict(self._overflowed)),
            datagrams_received=traffic.datagrams_received,
            bytes_received=traffic.bytes_received,
            datagrams_sent=traffic.datagrams_sent,
            bytes_sent=traffic.bytes_sent,
            probes=traffic.probes,
            probes_failed=traffic.probes_failed,
            probes_saved_by_stream=traffic.probes_saved_by_stream,
        )
