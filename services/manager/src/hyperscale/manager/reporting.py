"""Reports to gates: to the gate that owns the job, kept until it has acknowledged them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.models.job import AssignedShard, DatacenterJob
from hyperscale.manager.state import ManagerState
from hyperscale.manager.views import job_progress
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.outbox import Delivery, Outbox
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.v1.job_pb2 import JobFinalResult
from hyperscale.v1.progress_pb2 import JobProgress, ManagerHeartbeat, ManagerReport, WindowedStatsPush

MAX_HELD_RESULTS = 1000
"""Results kept for gates that have not been met; the oldest makes room."""

_COALESCING_SECONDS = 0.05


class GateReports:
    """Puts reports into the outbox of the gate they are for.

    Progress is replaced by newer progress of the same job. Windows make room when an outbox is full. A final result
    stays until it is acknowledged; there are never more of them than jobs that the gate has sent.

    Parameters
    ----------
    capacity
        Reports kept for a gate before droppable ones make room.
    """

    def __init__(self, datacenter: str, capacity: int) -> None:
        self._datacenter = datacenter
        self._capacity = capacity
        self._outboxes: dict[str, Outbox[ManagerReport]] = {}
        self._address_by_gate: dict[str, str] = {}
        self._held: OrderedDict[tuple[str, str], JobFinalResult] = OrderedDict()
        self._met = asyncio.Event()
        self._acknowledged = asyncio.Event()

    @property
    def datacenter(self) -> str:
        """Datacenter that is reported on."""
        return self._datacenter

    @property
    def held_results(self) -> int:
        """Results that wait for a gate to be met."""
        return len(self._held)

    @property
    def unacknowledged(self) -> int:
        """Reports that no gate has taken over yet."""
        return sum(len(outbox) for outbox in self._outboxes.values())

    def open(self, address: str) -> Outbox[ManagerReport]:
        """Keep reports for a gate at an address."""
        self._outboxes[address] = outbox = Outbox[ManagerReport](self._capacity)
        return outbox

    def close(self, address: str) -> None:
        """Keep none any more, but the final results of the gate that was met there: it may be met again elsewhere."""
        unsent = self._part_from(gate_id for gate_id, where in self._address_by_gate.items() if where == address)
        del self._outboxes[address]
        self._redirect(unsent)

    async def wait_acknowledged(self) -> None:
        """Wait until gates have taken over every report."""
        while self.unacknowledged:
            self._acknowledged.clear()
            await self._acknowledged.wait()

    def acknowledge(self, address: str, sequence: int) -> None:
        """A gate has taken over every report up to a sequence."""
        self._outboxes[address].ack(sequence)
        self._acknowledged.set()

    async def wait_met(self) -> None:
        """Wait until a gate has welcomed this manager."""
        await self._met.wait()

    def met(self, address: str, gate_id: str) -> None:
        """A gate at an address has welcomed this manager: what is for it goes there from now on."""
        unsent = self._part_from(
            known for known, where in self._address_by_gate.items() if (known == gate_id) != (where == address)
        )
        self._address_by_gate[gate_id] = address
        self._redirect(unsent)
        self._met.set()
        for held_for, job_id in [key for key in self._held if key[0] == gate_id]:
            self.send_final(gate_id, self._held.pop((held_for, job_id)))

    def send_heartbeat(self, heartbeat: ManagerHeartbeat) -> None:
        """Tell every gate how this manager is."""
        for outbox in self._outboxes.values():
            outbox.put(ManagerReport(heartbeat=heartbeat), key="heartbeat", delivery=Delivery.DROPPABLE)

    def send_progress(self, gate_id: str, progress: JobProgress) -> None:
        """How a job stands; only the newest matters."""
        outbox = self._outbox_of(gate_id)
        if outbox is not None:
            outbox.put(ManagerReport(progress=progress), key=("progress", progress.job_id), delivery=Delivery.DROPPABLE)

    def send_window(self, gate_id: str, window: WindowedStatsPush) -> None:
        """One second of a job."""
        outbox = self._outbox_of(gate_id)
        if outbox is not None:
            outbox.put(ManagerReport(window=window), delivery=Delivery.DROPPABLE)

    def send_final(self, gate_id: str, result: JobFinalResult) -> None:
        """The end of a job; held while its gate has not been met."""
        outbox = self._outbox_of(gate_id)
        if outbox is None:
            self._hold(gate_id, result)
            return
        outbox.put(ManagerReport(final_result=result), key=("final", result.job_id))

    def broadcast(self, result: JobFinalResult) -> None:
        """The end of a job whose gate is not known, because it was cancelled before it arrived."""
        for outbox in self._outboxes.values():
            outbox.put(ManagerReport(final_result=result), key=("final", result.job_id), delivery=Delivery.DROPPABLE)

    def _part_from(self, gate_ids: Iterable[str]) -> list[tuple[str, JobFinalResult]]:
        """Note that gates are not where they were met; returns results that were to be sent there, and for whom."""
        return [
            (gate_id, report.final_result)
            for gate_id in list(gate_ids)
            for report in self._outboxes[self._address_by_gate.pop(gate_id)].withdraw(_is_final)
        ]

    def _redirect(self, results: Iterable[tuple[str, JobFinalResult]]) -> None:
        """Send results to where their gates are now, or hold them."""
        for gate_id, result in results:
            self.send_final(gate_id, result)
        self._acknowledged.set()

    def _outbox_of(self, gate_id: str) -> Outbox[ManagerReport] | None:
        address = self._address_by_gate.get(gate_id)
        return None if address is None else self._outboxes[address]

    def _hold(self, gate_id: str, result: JobFinalResult) -> None:
        self._held[gate_id, result.job_id] = result
        if len(self._held) > MAX_HELD_RESULTS:
            self._held.popitem(last=False)


def _is_final(report: ManagerReport) -> bool:
    return report.HasField("final_result")


class GateFollower(Protocol):
    """Keeps up with the gates that there are."""

    async def follow(self) -> None:
        """Link to gates that have come, and give those up that have gone."""
        ...


class JobReporter:
    """Tells gates of their jobs: of a change at once, of the rest about once a second.

    Parameters
    ----------
    beats
        When heartbeats are due.
    interval_seconds
        Between two rounds of progress.
    """

    def __init__(
        self,
        *,
        state: ManagerState,
        health: ManagerHealth,
        reports: GateReports,
        beats: Rhythm,
        interval_seconds: float,
        clock: Clock,
    ) -> None:
        self._state = state
        self._health = health
        self._reports = reports
        self._beats = beats
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._changed: dict[str, DatacenterJob] = {}
        self._has_changed = asyncio.Event()

    def job_changed(self, job: DatacenterJob) -> None:
        """Report the job soon; changes of one moment are one report."""
        self._changed[job.job_id] = job
        self._has_changed.set()

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Nothing to do here."""

    def job_settled(self, job: DatacenterJob) -> None:
        """Nothing to do here: the end is reported when it is durable."""

    async def report_changes(self) -> None:
        """Report changed jobs until cancelled."""
        while True:
            await self._has_changed.wait()
            self.flush()
            await asyncio.sleep(_COALESCING_SECONDS)

    def flush(self) -> None:
        """Report what has changed since the last time."""
        changed, self._changed = self._changed, {}
        self._has_changed.clear()
        self._report([job for job in changed.values() if self._state.holds(job)])

    async def beat(self, gates: GateFollower) -> None:
        """Tell gates how this manager is, until cancelled: at once when that has changed, and regularly."""
        while True:
            await gates.follow()
            self._reports.send_heartbeat(self._health.heartbeat())
            await self._beats.next()

    async def report_regularly(self) -> None:
        """Send the progress of every job until cancelled."""
        while True:
            self._report(self._state.jobs())
            await asyncio.sleep(self._interval_seconds)

    def _report(self, jobs: Sequence[DatacenterJob]) -> None:
        now = self._clock.monotonic()
        for job in jobs:
            if not job.lifecycle.is_terminal:
                self._reports.send_progress(job.dispatch.gate_id, job_progress(job, self._reports.datacenter, now))
