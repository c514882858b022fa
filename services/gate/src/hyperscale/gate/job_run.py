"""One unfinished job at its owner: the only place that changes how it stands.

Laws: a part that has its result never changes; every change of a status is an event; reports under another ownership, out
of order or seen before change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType

from hyperscale.gate.early_stop import EarlyStop
from hyperscale.gate.events import JobEventLog
from hyperscale.gate.job_lifecycle import TERMINAL, TRANSITIONS, JobStatusValue
from hyperscale.gate.live_view import LiveMetrics, WindowView, job_status, stored_job_status
from hyperscale.gate.models.orders import JobLimits, StopOrder
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stage_results import named
from hyperscale.gate.stages import LOAD, PLANS, TEARDOWN, StagePlan, moved
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.gate.thresholds import JobThresholds
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import Lease
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.runtime.transitions import Lifecycle
from hyperscale.v1 import gate_service_pb2, job_pb2, progress_pb2, record_pb2
from hyperscale.workload.defaults import job_timeout_seconds
from hyperscale.workload.spans import LoadSpans
from hyperscale.workload.timestamps import duration, seconds_of, timestamp


class JobRun:
    """How one job stands, what it has measured, and who watches it.

    Parameters
    ----------
    record
        As committed when the job was accepted.
    lease
        The ownership under which it was committed.

    Attributes
    ----------
    durable
        Held while the record of the job is being changed in the store.
    events
        For those who watch.
    entered_at_seconds
        Monotonic time at which the stage under way was begun.
    """

    def __init__(self, record: record_pb2.JobRecord, lease: Lease, limits: JobLimits, clock: Clock) -> None:
        self._record = record
        self._lease = lease
        self._limits = limits
        self._clock = clock
        self._accepted_at_seconds = clock.monotonic()
        self._lifecycle = Lifecycle(TRANSITIONS, f"job {record.job_id}", record.status)
        self._plan = PLANS[LOAD](record)
        self._parts = {name: DatacenterPart(name) for name in record.datacenters}
        self._load_parts = self._parts
        self._shown = dict(self._parts)
        self._managers: dict[str, str] = {}
        self._is_resumed = bool(record.stages)
        self.entered_at_seconds = self._accepted_at_seconds
        self._statistics = GlobalStatistics(record.datacenters, limits.window_tolerance_seconds)
        self._spans: LoadSpans[str] = LoadSpans()
        self._thresholds = JobThresholds(record.submission.thresholds)
        self._early_stop = EarlyStop(self._thresholds, clock)
        self._stop: StopOrder | None = None
        self._teardown_stop: StopOrder | None = None
        self._extended_before_seconds = 0.0
        self._is_abandoned = False
        self._changed = asyncio.Event()
        self.durable = asyncio.Lock()
        self.events = JobEventLog(record.job_id, limits.events, clock)

    @property
    def job_id(self) -> str:
        """Identity of the job."""
        return self._record.job_id

    @property
    def record(self) -> record_pb2.JobRecord:
        """A copy of the record, as last noted with `committed`."""
        copy = record_pb2.JobRecord()
        copy.CopyFrom(self._record)
        return copy

    @property
    def submission(self) -> job_pb2.JobSubmission:
        """What was submitted; not to be changed."""
        return self._record.submission

    @property
    def age_seconds(self) -> float:
        """Time since the job was accepted."""
        return self._clock.monotonic() - self._accepted_at_seconds

    @property
    def timeout_seconds(self) -> float:
        """Age at which the job must have ended, teardown left out, with the time by which it was extended."""
        return job_timeout_seconds(self.submission) + self.extended_seconds

    @property
    def extended_seconds(self) -> float:
        """By how much the timeout is later: what each stage was extended by in the datacenter that needed it most."""
        return self._extended_before_seconds + _most_extended_seconds(self._parts)

    @property
    def lease(self) -> Lease:
        """The ownership; its token fences everything done for the job."""
        return self._lease

    @property
    def status(self) -> JobStatusValue:
        """Current status."""
        return self._lifecycle.status

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancellation is durable."""
        return self.status == job_pb2.JOB_STATUS_CANCELLING

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self._lifecycle.is_terminal

    @property
    def is_abandoned(self) -> bool:
        """Whether this gate no longer acts as the owner."""
        return self._is_abandoned

    @property
    def is_done(self) -> bool:
        """Whether every datacenter has ended its part."""
        return all(part.is_done for part in self._parts.values())

    @property
    def stop(self) -> StopOrder | None:
        """The first order to stop, if there was one."""
        return self._stop

    @property
    def stage_stop(self) -> StopOrder | None:
        """The order to stop that holds for the stage under way: teardowns run in spite of those before them."""
        return self._teardown_stop if self._plan.stage == TEARDOWN else self._stop

    @property
    def is_resumed(self) -> bool:
        """Whether another life of this gate, or another gate, had begun the job."""
        return self._is_resumed

    @property
    def plan(self) -> StagePlan:
        """The stage under way."""
        return self._plan

    @property
    def parts(self) -> Mapping[str, DatacenterPart]:
        """Each datacenter's part in the stage under way, to read."""
        return MappingProxyType(self._parts)

    @property
    def results(self) -> list[record_pb2.StageResult]:
        """What has become of every stage so far."""
        known = list(self._record.stage_results)
        return known + [
            record_pb2.StageResult(stage=self._plan.stage, result=part.result)
            for part in self._parts.values()
            if part.result is not None
        ]

    @property
    def statistics(self) -> GlobalStatistics:
        """What was measured, to read."""
        return self._statistics

    @property
    def elapsed_seconds(self) -> float:
        """From the first load in any datacenter to the last, as far as is known; 0 when none was made."""
        return self._spans.seconds()

    def renewed(self, lease: Lease) -> None:
        """Note the new expiry of the ownership."""
        self._lease = lease

    def committed(self, record: record_pb2.JobRecord) -> None:
        """Note what is in the store, and follow its status."""
        self._record = record
        if record.status == self.status:
            return
        self._lifecycle.move(record.status)
        if not self.is_terminal:
            self._push_status(record.cancel_reason)
        self._wake()

    def enter(self, plan: StagePlan, record: record_pb2.JobRecord) -> None:
        """Begin a stage that is in the record; the one before is over."""
        self.committed(record)
        self._extended_before_seconds = self.extended_seconds
        self._plan = plan
        self._parts = {
            name: DatacenterPart(name, started_at_seconds=self._shown[name].started_at_seconds) for name in plan.shares
        }
        self._shown |= self._parts
        self._load_parts = self._parts if plan.stage == LOAD else self._load_parts
        self.entered_at_seconds = self._clock.monotonic()

    def move(self, record: record_pb2.JobRecord, datacenter: str, successor: str) -> None:
        """Another datacenter takes the place of one that has not taken the job over; that is in the record."""
        # The status in it is from before it was written; the job may have gone on since.
        self._record = record
        part = DatacenterPart(successor)
        self._plan = moved(self._plan, datacenter, successor)
        is_shared = self._load_parts is self._parts
        self._parts = _moved(self._parts, datacenter, part)
        self._load_parts = self._parts if is_shared else _moved(self._load_parts, datacenter, part)
        self._shown = _moved(self._shown, datacenter, part)
        self._statistics.move(datacenter, successor)
        self._push_status(f"{successor} takes the place of {datacenter}, which has not taken the job over")
        self._wake()

    def advance(self, status: JobStatusValue) -> None:
        """Change the status in memory, where the table allows it."""
        if self._lifecycle.allows(status):
            self._lifecycle.move(status)
            self._push_status("")

    def order_stop(self, order: StopOrder) -> None:
        """Have the job stopped; the first order counts."""
        if self._stop is None:
            self._stop = order
            self._wake()

    def order_teardown_stop(self, order: StopOrder) -> None:
        """Have the teardowns stopped; the first order counts."""
        if self._teardown_stop is None:
            self._teardown_stop = order
            self._wake()

    def enforce_thresholds(self) -> None:
        """Have the job stopped when a threshold with abort_on_fail does not hold on what was measured so far."""
        if self._stop is not None or self.is_done or self._plan.stage != LOAD:
            return
        order = self._early_stop.order(self._statistics, self._spans, self._parts)
        if order is not None:
            self.order_stop(order)

    def abandon(self, error: HyperscaleError) -> None:
        """Stop acting as the owner; watchers get the error."""
        self._is_abandoned = True
        self.events.close(error)
        self._wake()

    def is_over_in(self, dispatch_id: str, datacenter: str) -> bool:
        """Whether a datacenter has nothing to do for a stage any more, without having ended it.

        Another one has taken its place, or this gate has given its part up.
        """
        parts = self._load_parts if dispatch_id == self.job_id else self._parts
        part = parts.get(datacenter)
        if part is None:
            return any(move.from_datacenter == datacenter for move in self._record.routing.fallbacks)
        return part.is_given_up and dispatch_id in (self.job_id, self._plan.dispatch_id)

    def manager_of(self, datacenter: str) -> str | None:
        """The address of the manager that took the job over last; None while none has."""
        return self._managers.get(datacenter)

    def accepted(self, datacenter: str, manager: str) -> None:
        """Note that a datacenter has taken the job over, and the address of the manager that did."""
        self._managers[datacenter] = manager
        part = self._parts[datacenter]
        if part.is_done or part.is_accepted:
            return
        part.is_accepted = True
        if part.status == job_pb2.JOB_STATUS_DISPATCHING:
            self._set_part_status(part, job_pb2.JOB_STATUS_QUEUED, "")

    def take_progress(self, progress: progress_pb2.JobProgress) -> None:
        """Take a datacenter's progress over; raises ValueError."""
        part = self._open_part(progress.job_id, progress.datacenter, progress.fence_token)
        if part is None or not self._statistics.take_totals(
            progress.datacenter, self._plan.stage, progress.progress_sequence, progress.statistics
        ):
            return
        self._early_stop.measured()
        part.is_accepted = True
        part.workflows = tuple(progress.workflows)
        part.extended_seconds = max(part.extended_seconds, seconds_of(progress.extended_by))
        if progress.HasField("started_at") and self._plan.stage == LOAD:
            part.started_at_seconds = seconds_of(progress.started_at)
            self._spans.heard(part.datacenter, seconds_of(progress.elapsed), self._clock.monotonic())
        # The end of a part is its final result, which carries the exact totals.
        if progress.status not in TERMINAL and progress.status != job_pb2.JOB_STATUS_UNSPECIFIED:
            reason = part.remark or named(self._plan, part.datacenter)
            self._set_part_status(part, progress.status, reason)

    def take_window(self, push: progress_pb2.WindowedStatsPush) -> None:
        """Take one second of one datacenter over; raises ValueError."""
        if push.datacenter in self._parts and push.job_id == self.job_id:
            self._statistics.take_window(push)
            self._wake()

    def take_final_result(self, result: job_pb2.JobFinalResult) -> None:
        """Take a datacenter's final word over; one that cannot be used fails the part. Raises ValueError."""
        part = self._open_part(result.job_id, result.datacenter, result.fence_token)
        if part is None:
            return
        if result.status not in TERMINAL:
            self.give_up(part.datacenter, job_pb2.JOB_STATUS_FAILED, "the final result has no terminal status")
            return
        try:
            self._statistics.take_final_totals(result.datacenter, self._plan.stage, result.statistics)
        except ValueError:
            self.give_up(part.datacenter, job_pb2.JOB_STATUS_FAILED, "the final result has faulty statistics")
            raise
        self._end_part(part, result)

    def give_up(self, datacenter: str, status: JobStatusValue, reason: str) -> None:
        """End the part of a datacenter that does not do it itself, with the totals last received."""
        part = self._parts[datacenter]
        if not part.is_done:
            part.is_given_up = True
            self._end_part(part, self._own_result(part, status, reason))

    def end_unstarted(self, datacenter: str, reason: str) -> None:
        """End the part of a datacenter that has confirmed that it will not run the job."""
        part = self._parts[datacenter]
        if not part.is_done:
            self._end_part(part, self._own_result(part, job_pb2.JOB_STATUS_CANCELLED, reason))

    def close_windows(self, now_seconds: float, expected: Collection[str]) -> None:
        """Publish the seconds of the run that are due."""
        closed = self._statistics.close_windows(now_seconds, expected)
        if not closed:
            return
        live = self._measured()
        view = WindowView(self._load_parts, live, self._thresholds)
        for window in closed:
            self.events.append_window(view.of(window))

    def snapshot(self) -> job_pb2.GlobalJobStatus:
        """The job as it stands."""
        if self.is_terminal:
            return stored_job_status(self._record)
        live = self._measured()
        return job_status(self._record, self.status, self._shown, live)

    def _measured(self) -> LiveMetrics:
        return LiveMetrics(self._statistics, self._spans, self._load_parts, self._clock.monotonic())

    async def wait_changed(self, timeout_seconds: float) -> None:
        """Wait until something has changed since the last call, or for the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _open_part(self, dispatch_id: str, datacenter: str, fence_token: int) -> DatacenterPart | None:
        """The part a report is about, unless it has ended or the report belongs to another stage or ownership.

        What an earlier owner had begun goes on under its token, or has ended under it.
        """
        part = self._parts.get(datacenter)
        is_ours = fence_token == self._lease.token or (self._is_resumed and fence_token < self._lease.token)
        if part is None or part.is_done or not is_ours or dispatch_id != self._plan.dispatch_id:
            return None
        return part

    def _own_result(self, part: DatacenterPart, status: JobStatusValue, reason: str) -> job_pb2.JobFinalResult:
        result = job_pb2.JobFinalResult(
            job_id=self._plan.dispatch_id,
            datacenter=part.datacenter,
            status=status,
            errors=[reason],
            workflows=part.workflows,
            statistics=[
                entry.to_proto() for entry in self._statistics.of_stage(part.datacenter, self._plan.stage).values()
            ],
            fence_token=self._lease.token,
        )
        if part.started_at_seconds is not None:
            result.started_at.CopyFrom(timestamp(part.started_at_seconds))
            result.elapsed.CopyFrom(duration(self._spans.seconds_of(part.datacenter)))
        if part.extended_seconds:
            result.extended_by.CopyFrom(duration(part.extended_seconds))
        return result

    def _end_part(self, part: DatacenterPart, result: job_pb2.JobFinalResult) -> None:
        self._early_stop.measured()
        part.is_accepted = True
        part.result = result
        part.workflows = tuple(result.workflows)
        part.extended_seconds = max(part.extended_seconds, seconds_of(result.extended_by))
        if result.HasField("started_at") and self._plan.stage == LOAD:
            part.started_at_seconds = seconds_of(result.started_at)
            self._spans.heard(part.datacenter, seconds_of(result.elapsed), self._clock.monotonic(), is_over=True)
        reasons = [reason for reason in (named(self._plan, part.datacenter), "; ".join(result.errors)) if reason]
        self._set_part_status(part, result.status, ": ".join(reasons))

    def _set_part_status(self, part: DatacenterPart, status: JobStatusValue, reason: str) -> None:
        if (part.status, part.reason) == (status, reason):
            return
        part.status, part.reason = status, reason
        self._follow_parts()
        self.events.append_status(
            gate_service_pb2.JobStatusPush(
                status=self.status, datacenter=part.datacenter, datacenter_status=status, message=reason
            )
        )
        self._wake()

    def _follow_parts(self) -> None:
        """RUNNING as soon as one datacenter makes load; QUEUED once all have the job and none does."""
        if self._plan.stage != LOAD:
            return
        statuses = {part.status for part in self._parts.values()}
        if job_pb2.JOB_STATUS_RUNNING in statuses:
            self.advance(job_pb2.JOB_STATUS_RUNNING)
        elif job_pb2.JOB_STATUS_QUEUED in statuses and all(part.is_accepted for part in self._parts.values()):
            self.advance(job_pb2.JOB_STATUS_QUEUED)

    def _push_status(self, message: str) -> None:
        self.events.append_status(gate_service_pb2.JobStatusPush(status=self.status, message=message))

    def _wake(self) -> None:
        self._changed.set()


def _most_extended_seconds(parts: Mapping[str, DatacenterPart]) -> float:
    return max((part.extended_seconds for part in parts.values()), default=0.0)


def _moved(
    parts: Mapping[str, DatacenterPart], datacenter: str, successor: DatacenterPart
) -> dict[str, DatacenterPart]:
    """The same parts in the same order, but for one."""
    return {
        successor.datacenter if name == datacenter else name: successor if name == datacenter else part
        for name, part in parts.items()
    }
