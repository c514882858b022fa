"""Limits of time: of a job, of the silence of a datacenter, of a stop."""

from __future__ import annotations

from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import JobLimits, StopCause, StopOrder
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import LOAD, TEARDOWN
from hyperscale.runtime.clock import Clock
from hyperscale.v1 import job_pb2
from hyperscale.workload.defaults import graceful_stop_seconds, job_timeout_seconds, teardown_timeout_seconds


class JobDeadlines:
    """Ends what takes too long."""

    def __init__(self, watch: DatacenterWatch, routing: DatacenterRouting, limits: JobLimits, clock: Clock) -> None:
        self._watch = watch
        self._routing = routing
        self._limits = limits
        self._clock = clock

    def enforce(self, run: JobRun) -> None:
        """Order the stop of a job that is over its time, and end the parts of datacenters that do not answer."""
        self._enforce_timeout(run)
        for part in run.parts.values():
            if not part.is_done:
                self._enforce_part(run, part)

    def stop_seconds(self, run: JobRun) -> float:
        """How long a datacenter that was told to stop may take to end."""
        graceful_seconds = max(map(graceful_stop_seconds, run.submission.workflows), default=0.0)
        return self._limits.stop_grace_seconds + (graceful_seconds if run.plan.stage == LOAD else 0.0)

    def _enforce_timeout(self, run: JobRun) -> None:
        if run.plan.stage == TEARDOWN:
            self._enforce_teardown(run, self._clock.monotonic() - run.entered_at_seconds)
            return
        if run.stop is None and run.age_seconds > run.timeout_seconds:
            extended = f", extended by {run.extended_seconds:g} s" if run.extended_seconds else ""
            reason = f"the job took longer than its timeout of {job_timeout_seconds(run.submission):g} s{extended}"
            run.order_stop(StopOrder(StopCause.TIMEOUT, reason, self._clock.monotonic()))

    def _enforce_teardown(self, run: JobRun, teardown_seconds: float) -> None:
        """Workers end a teardown by its own limit; this one is for those that never get it."""
        own_seconds = max(map(teardown_timeout_seconds, run.submission.workflows))
        limit_seconds = own_seconds + self._limits.dispatch_deadline_seconds
        if run.stage_stop is None and teardown_seconds > limit_seconds:
            reason = f"it was not done within {limit_seconds:g} s"
            run.order_teardown_stop(StopOrder(StopCause.TIMEOUT, reason, self._clock.monotonic()))

    def _enforce_part(self, run: JobRun, part: DatacenterPart) -> None:
        if part.is_accepted and self._watch.is_lost(part.datacenter):
            reason = "no manager of the datacenter answers any more"
            self._routing.failed(part.datacenter)
            run.give_up(part.datacenter, job_pb2.JOB_STATUS_FAILED, reason)
        elif run.stage_stop is not None:
            self._enforce_stop(run, part, self._clock.monotonic() - run.stage_stop.given_at_seconds)

    def _enforce_stop(self, run: JobRun, part: DatacenterPart, stopping_seconds: float) -> None:
        if not part.is_accepted:
            if stopping_seconds > self._limits.dispatch_deadline_seconds:
                reason = "the datacenter never took the job over, and has not confirmed the cancellation"
                run.give_up(part.datacenter, job_pb2.JOB_STATUS_CANCELLED, reason)
            return
        limit_seconds = self.stop_seconds(run)
        if stopping_seconds > limit_seconds:
            reason = f"the datacenter was told to stop and has not ended within {limit_seconds:g} s"
            run.give_up(part.datacenter, job_pb2.JOB_STATUS_FAILED, reason)
