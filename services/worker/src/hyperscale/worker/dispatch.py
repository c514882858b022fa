"""Takes shards over from managers, and stops them when managers say so."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import (
    WorkflowCancelRequest,
    WorkflowCancelResponse,
    WorkflowDispatch,
    WorkflowDispatchAck,
)
from hyperscale.worker.models.shards import CodePolicy, ShardStopCause, StopReason
from hyperscale.worker.registry import ManagerLinks
from hyperscale.worker.shard_runs import ShardRuns
from hyperscale.worker.state import WorkerState
from hyperscale.worker.validation import cancel_faults, dispatch_faults


class ShardDesk:
    """Where managers' wishes are judged and carried out."""

    def __init__(
        self,
        state: WorkerState,
        runs: ShardRuns,
        managers: ManagerLinks,
        *,
        code_policy: CodePolicy,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._runs = runs
        self._managers = managers
        self._code_policy = code_policy
        self._clock = clock
        self._logger = logger

    def dispatch(self, dispatch: WorkflowDispatch) -> WorkflowDispatchAck:
        """Run a shard; when this returns, engines have been given it. A repeated attempt gets its first answer.

        Raises INVALID_ARGUMENT with every fault, PYTHON_NOT_ALLOWED, NOT_READY, OVERLOADED, and what `WorkerState.admit` raises.
        """
        faults = dispatch_faults(dispatch)
        if faults:
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=faults)
        self._code_policy.require_allowed(dispatch.workflow)
        link = self._managers.link_to(dispatch.manager_id)
        admission = self._state.admit(dispatch, self._clock.monotonic())
        if admission.slots:
            self._runs.start(dispatch, admission.slots, link)
        return admission.ack

    def cancel(self, request: WorkflowCancelRequest) -> WorkflowCancelResponse:
        """Begin to stop shards; they are refused from now on, those that have not arrived yet too.

        Raises INVALID_ARGUMENT with every fault, and STALE_FENCE.
        """
        faults = cancel_faults(request)
        if faults:
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=faults)
        now = self._clock.monotonic()
        running, unknown = self._state.cancel(request.job_id, request.fence_token, request.shards, now)
        self._logger.info("cancel", job_id=request.job_id, reason=request.reason, running=running, unknown=unknown)
        for shard_id in running:
            self._runs.stop(shard_id, StopReason(ShardStopCause.CANCELLED, request.reason))
        return WorkflowCancelResponse(cancelling_shard_ids=running, unknown_shard_ids=unknown)
