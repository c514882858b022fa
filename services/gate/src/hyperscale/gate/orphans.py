"""The search for jobs whose gate is gone.

Laws: a lease that has run out makes an orphan, nothing else; the gate that the ring names takes it first, and each other one
a pause after those before it, so that no orphan depends on one gate.
"""

from __future__ import annotations

import asyncio
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.gate.leases import JobLeases
from hyperscale.gate.ownership import GateRing
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.swim.events import Event, MemberDied
from hyperscale.v1 import job_pb2

_URGENT_PAUSE_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 2.0
"""Longer than the pause between two urgent searches: the gate before has had the time to look."""


class OrphanAlarm:
    """When to look for orphans: regularly, and each second while some are expected.

    Parameters
    ----------
    lease_seconds
        Life of a lease that is not renewed; the regular pause as well.
    """

    def __init__(self, lease_seconds: float, clock: Clock) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._rhythm = Rhythm(lease_seconds)
        self._urgent_until = float("-inf")

    def member_changed(self, event: Event) -> None:
        """Note a gate that its group declares dead: its leases run out from now on."""
        if isinstance(event, MemberDied):
            self.expect(self._lease_seconds)
            self._rhythm.hasten()

    def expect(self, seconds: float) -> None:
        """Some orphans are to be taken within this time."""
        self._urgent_until = max(self._urgent_until, self._clock.monotonic() + seconds + _URGENT_PAUSE_SECONDS)

    async def next(self) -> None:
        """Wait until the next search is due."""
        if self._clock.monotonic() < self._urgent_until:
            await asyncio.sleep(min(_URGENT_PAUSE_SECONDS, self._lease_seconds))
        else:
            await self._rhythm.next()


class TakeoverOrder:
    """Which orphans this gate takes now, and which it leaves to others for a while."""

    def __init__(self, ring: GateRing, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._found_at: dict[str, float] = {}

    def due(self, job_ids: list[str]) -> set[str]:
        """Of all orphans there are, those whose turn has come here."""
        now = self._clock.monotonic()
        self._found_at = {job_id: self._found_at.get(job_id, now) for job_id in job_ids}
        turns = self._ring.turns(job_ids)
        return {job_id for job_id, turn in turns.items() if now - self._found_at[job_id] >= _TURN_SECONDS * turn}


class OrphanSearch:
    """Finds the orphans that this gate is to take."""

    def __init__(
        self,
        *,
        state: GateState,
        store: JobStore,
        leases: JobLeases,
        order: TakeoverOrder,
        alarm: OrphanAlarm,
        logger: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._store = store
        self._leases = leases
        self._order = order
        self._alarm = alarm
        self._logger = logger

    async def next(self) -> None:
        """Wait until the next search is due."""
        await self._alarm.next()

    async def due(self) -> list[job_pb2.JobAck]:
        """The orphans of now whose turn has come here; the others are looked for again soon."""
        unfinished = await self._store.unfinished()
        elsewhere = [ack for ack in unfinished if not self._state.is_in_charge(ack.job_id)]
        orphans = [ack for ack in elsewhere if not await self._leases.is_owned(ack.job_id)]
        turns = self._order.due([ack.job_id for ack in orphans])
        due = [ack for ack in orphans if ack.job_id in turns]
        for ack in due:
            self._logger.info("turn to take an orphaned job over", job_id=ack.job_id, gate_id=ack.gate_id)
        if len(due) < len(orphans):
            self._alarm.expect(_TURN_SECONDS)
        return due
