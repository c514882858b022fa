"""Handing shards to workers: first the assignment is durable under the leader's lease, then the worker is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from hyperscale.manager.extensions import time_left_seconds
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import (
    CoordinationUnavailableError,
    ErrorReason,
    HyperscaleError,
    LeaseLostError,
)
from hyperscale.runtime.retry import REPORT, RetryPolicy, call_with_retry
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.dispatch_pb2 import (
    WorkflowCancelRequest,
    WorkflowCancelResponse,
    WorkflowDispatch,
    WorkflowDispatchAck,
)
from hyperscale.v1.worker_service_pb2_grpc import WorkerServiceStub
from hyperscale.workload.timestamps import duration_or_none, timestamp_or_none

_SHARD_DISPATCH: Final = RetryPolicy(
    "shard-dispatch",
    attempts=4,
    base_delay_seconds=0.1,
    max_delay_seconds=1.0,
    retryable=frozenset({ErrorReason.PEER_UNREACHABLE}),
)

_PASSING: Final = frozenset(
    {
        ErrorReason.INSUFFICIENT_CORES,
        ErrorReason.DUPLICATE_SHARD,
        ErrorReason.STALE_FENCE,
        ErrorReason.DRAINING,
        ErrorReason.SYNCING,
        ErrorReason.NOT_READY,
        ErrorReason.OVERLOADED,
        ErrorReason.RATE_LIMITED,
        ErrorReason.COORDINATION_UNAVAILABLE,
    }
)
"""Refusals that say something of the worker's present state; any other one says that the shard itself is refused."""

_NO_ANSWER: Final = frozenset({ErrorReason.PEER_UNREACHABLE, ErrorReason.DEADLINE_EXCEEDED, ErrorReason.CANCELLED})
"""Errors after which nobody but the worker knows whether it has taken the shard."""


class WorkerPort(Protocol):
    """How workers are called."""

    async def dispatch(self, endpoint: Endpoint, order: WorkflowDispatch) -> WorkflowDispatchAck:
        """Ask a worker to run a shard; raises `HyperscaleError`."""
        ...

    async def cancel(self, endpoint: Endpoint, request: WorkflowCancelRequest) -> WorkflowCancelResponse:
        """Ask a worker to stop shards; raises `HyperscaleError`."""
        ...


class GrpcWorkerPort:
    """Calls workers over the network, with retries that never outlive the deadline."""

    def __init__(self, channels: ChannelPool, deadline_seconds: float) -> None:
        self._channels = channels
        self._deadline_seconds = deadline_seconds

    async def dispatch(self, endpoint: Endpoint, order: WorkflowDispatch) -> WorkflowDispatchAck:
        """Ask a worker to run a shard; raises `HyperscaleError`."""
        stub = self._channels.stub(endpoint.address, WorkerServiceStub)

        async def attempt(seconds_left: float) -> WorkflowDispatchAck:
            return await stub.DispatchWorkflow(order, timeout=seconds_left)

        return await call_with_retry(_SHARD_DISPATCH, attempt, self._deadline_seconds)

    async def cancel(self, endpoint: Endpoint, request: WorkflowCancelRequest) -> WorkflowCancelResponse:
        """Ask a worker to stop shards; raises `HyperscaleError`."""
        stub = self._channels.stub(endpoint.address, WorkerServiceStub)

        async def attempt(seconds_left: float) -> WorkflowCancelResponse:
            return await stub.CancelWorkflow(request, timeout=seconds_left)

        return await call_with_retry(REPORT, attempt, self._deadline_seconds)


class ShardDispatcher:
    """Gives shards, whose cores are reserved, to their workers.

    Parameters
    ----------
    manager_id
        Node id that workers report to.
    """

    def __init__(
        self,
        *,
        manager_id: str,
        state: ManagerState,
        ledger: DatacenterLedger,
        port: WorkerPort,
        placements: PlacementOutcomes,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._manager_id = manager_id
        self._state = state
        self._ledger = ledger
        self._port = port
        self._placements = placements
        self._supervisor = supervisor
        self._clock = clock

    def place(self, job: DatacenterJob, shards: Sequence[AssignedShard]) -> None:
        """Commit the assignment and ask the workers, in the background."""
        _ = self._supervisor.start(self._place(job, shards), name="shard-placement")

    async def _place(self, job: DatacenterJob, shards: Sequence[AssignedShard]) -> None:
        try:
            await self._ledger.save(job)
        except LeaseLostError as error:
            self._supervisor.report(error, "shard-assignment", job_id=job.job_id)
            return
        except CoordinationUnavailableError as error:
            self._supervisor.report(error, "shard-assignment", job_id=job.job_id)
            for shard in shards:
                self._placements.refused(job, shard, error)
            return
        for shard in shards:
            # Only now: a slow commit must not use up the time that engines need to be ready.
            self._placements.durable(job, shard)
            _ = self._supervisor.start(self._ask(job, shard), name="shard-dispatch")

    async def _ask(self, job: DatacenterJob, shard: AssignedShard) -> None:
        attempt, endpoint = shard.attempt, self._placements.endpoint_for(job, shard)
        if endpoint is None or not self._state.holds(job):
            self._placements.withdrawn(job, shard)
            return
        try:
            await self._port.dispatch(endpoint, self._order(job, shard))
        except HyperscaleError as error:
            if self._state.holds(job) and shard.attempt == attempt:
                self._placements.refused(job, shard, error)
            return
        if self._state.holds(job) and shard.attempt == attempt:
            self._placements.accepted(job, shard)

    def _order(self, job: DatacenterJob, shard: AssignedShard) -> WorkflowDispatch:
        submission = job.dispatch.submission
        order = WorkflowDispatch(
            job_id=job.job_id,
            shard_id=shard.shard_id,
            attempt=shard.attempt,
            fence_token=job.leadership_token,
            workflow=shard.workflow,
            target=submission.target,
            http_options=submission.http_options,
            context=job.context_for(shard.workflow.name),
            variables=submission.variables,
            cores=shard.cores,
            manager_id=self._manager_id,
            start_at=timestamp_or_none(job.run_of(shard).start_at_seconds),
            time_left=duration_or_none(time_left_seconds(job, shard, self._clock.monotonic())),
        )
        if shard.workflow.class_name:
            order.bundle.CopyFrom(submission.bundle)
        return order


class PlacementOutcomes:
    """What a worker's answer to a dispatch means for the job.

    Parameters
    ----------
    hold_seconds
        How long a worker that refused is not asked again.
    """

    def __init__(self, workers: WorkerRegistry, progression: JobProgression, hold_seconds: float) -> None:
        self._workers = workers
        self._progression = progression
        self._hold_seconds = hold_seconds

    def endpoint_for(self, job: DatacenterJob, shard: AssignedShard) -> Endpoint | None:
        """Where to send a shard; None when it should not be sent (any more)."""
        if job.stops(shard) or shard.phase is not ShardPhase.PLACING:
            return None
        return self._workers.endpoint(shard.worker_id)

    def durable(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """The assignment is in the ledger."""
        self._progression.appoint(job, shard)

    def accepted(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """The worker has it, unless it was lost meanwhile."""
        if shard.is_with_worker:
            self._progression.accepted(job, shard)

    def withdrawn(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """It was not sent."""
        self._progression.refused(job, shard, f"worker {shard.worker_id} was not asked")

    def not_received(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """The worker had not answered, and turns out not to have it: others are asked first now.

        An earlier life of its process may have had it, though, so that nobody else is asked for what is done once.
        """
        if job.run_of(shard).is_once:
            cause = f"worker {shard.worker_id} may have run shard {shard.shard_id}, and it is not run again"
            self._progression.failed(job, shard, cause)
            return
        self._workers.hold(shard.worker_id, self._hold_seconds)
        self._progression.refused(job, shard, f"worker {shard.worker_id} did not get shard {shard.shard_id}")

    def refused(self, job: DatacenterJob, shard: AssignedShard, error: HyperscaleError) -> None:
        """The worker would not take it, or did not answer."""
        if shard.phase is not ShardPhase.PLACING:
            return
        reason = f"worker {shard.worker_id} did not take shard {shard.shard_id}: {error.message}"
        self._workers.hold(shard.worker_id, self._hold_seconds)
        if error.reason in _NO_ANSWER:
            self._progression.unanswered(job, shard, reason)
        elif error.reason in _PASSING:
            self._progression.refused(job, shard, reason)
        else:
            self._progression.failed(job, shard, reason)
