"""Calls to whoever leads a datacenter now."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from hyperscale.gate.manager_order import addresses_in_order
from hyperscale.gate.models.managers import ConnectedManager
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.circuits import Circuits, CircuitState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import answer_of
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, manager_service_pb2
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub

AnswerT = TypeVar("AnswerT")

_MAX_ADDRESSES = 8

ASK_ANOTHER = frozenset(
    {
        ErrorReason.NOT_LEADER,
        ErrorReason.PEER_UNREACHABLE,
        ErrorReason.DEADLINE_EXCEEDED,
        ErrorReason.NOT_READY,
        ErrorReason.SYNCING,
        ErrorReason.DRAINING,
    }
)
"""Answers of a manager after which another one of its datacenter is called: they are about the manager."""


class ManagerCalls(Protocol):
    """The RPCs of one manager; each raises `HyperscaleError`."""

    async def submit_job(self, address: str, dispatch: dispatch_pb2.JobDispatch) -> job_pb2.JobAck:
        """ManagerService.SubmitJob."""
        ...

    async def cancel_job(self, address: str, request: dispatch_pb2.JobCancelRequest) -> dispatch_pb2.JobCancelResponse:
        """ManagerService.CancelJob."""
        ...

    async def query_workflows(
        self, address: str, request: gate_service_pb2.WorkflowQueryRequest
    ) -> manager_service_pb2.WorkflowQueryResponse:
        """ManagerService.QueryWorkflows."""
        ...

    async def list_nodes(self, address: str) -> NodeListResponse:
        """MembershipService.ListNodes."""
        ...


class GrpcManagerCalls:
    """The RPCs of managers over the network.

    Parameters
    ----------
    timeout_seconds
        Longest wait for one answer.
    """

    def __init__(self, pool: ChannelPool, timeout_seconds: float) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds

    async def submit_job(self, address: str, dispatch: dispatch_pb2.JobDispatch) -> job_pb2.JobAck:
        """ManagerService.SubmitJob."""
        return await answer_of(self._stub(address).SubmitJob(dispatch, timeout=self._timeout_seconds))

    async def cancel_job(self, address: str, request: dispatch_pb2.JobCancelRequest) -> dispatch_pb2.JobCancelResponse:
        """ManagerService.CancelJob."""
        return await answer_of(self._stub(address).CancelJob(request, timeout=self._timeout_seconds))

    async def query_workflows(
        self, address: str, request: gate_service_pb2.WorkflowQueryRequest
    ) -> manager_service_pb2.WorkflowQueryResponse:
        """ManagerService.QueryWorkflows."""
        return await answer_of(self._stub(address).QueryWorkflows(request, timeout=self._timeout_seconds))

    async def list_nodes(self, address: str) -> NodeListResponse:
        """MembershipService.ListNodes."""
        stub = self._pool.stub(address, MembershipServiceStub)
        return await answer_of(stub.ListNodes(NodeListRequest(), timeout=self._timeout_seconds))

    def _stub(self, address: str) -> ManagerServiceStub:
        return self._pool.stub(address, ManagerServiceStub)


class DatacenterCaller:
    """Finds the leader of a datacenter: tries its managers in the order that routing gives, and follows their hints.

    Parameters
    ----------
    silence_limit_seconds
        A manager that has not spoken for longer is not called.
    """

    def __init__(
        self, registry: ManagerRegistry, circuits: Circuits, clock: Clock, silence_limit_seconds: float
    ) -> None:
        self._registry = registry
        self._circuits = circuits
        self._clock = clock
        self._silence_limit_seconds = silence_limit_seconds

    async def ask(
        self, datacenter: str, call: Callable[[str], Awaitable[AnswerT]], usual_manager: str | None = None
    ) -> AnswerT:
        """Call each address at most once until one answers; raises the last error, or the first that is final.

        The error of the one that is said to lead counts before those of the others, which only send there.

        While none is known to lead, `usual_manager`, the address of the one that the job had, is called first. A hint is
        newer than what was last heard of the manager it names, so that only an open circuit keeps it from being called.
        Raises DATACENTER_UNAVAILABLE when no manager can be called.
        """
        waiting = deque(self._in_order(datacenter, usual_manager))
        failed: dict[str, HyperscaleError] = {}
        while waiting and len(failed) < _MAX_ADDRESSES:
            address = waiting.popleft()
            if address in failed or not self._circuits.admits(address):
                continue
            try:
                with self._circuits.call(address):
                    return await call(address)
            except HyperscaleError as error:
                if error.reason not in ASK_ANOTHER:
                    raise
                failed[address] = error
                if error.leader is not None:
                    waiting.appendleft(error.leader)
        raise self._failure(datacenter, failed)

    def open_circuits(self, datacenter: str) -> int:
        """How many of the managers are not called, since calls to them have failed."""
        return sum(self._is_open(manager) for manager in self._registry.connected(datacenter))

    def _in_order(self, datacenter: str, usual_manager: str | None) -> list[str]:
        managers = self._registry.connected(datacenter)
        return addresses_in_order(
            managers,
            self._clock.monotonic(),
            silence_limit_seconds=self._silence_limit_seconds,
            left_alone={manager.address for manager in managers if self._is_open(manager)},
            usual_manager=usual_manager,
        )

    def _is_open(self, manager: ConnectedManager) -> bool:
        return self._circuits.state(manager.address) is CircuitState.OPEN

    def _failure(self, datacenter: str, failed: dict[str, HyperscaleError]) -> HyperscaleError:
        last = next(reversed(failed.values()), None)
        leader = next((error.leader for error in reversed(failed.values()) if error.leader is not None), "")
        if last is None or (leader and leader not in failed and not self._circuits.admits(leader)):
            return self._unavailable(datacenter, leader)
        of_leader = failed.get(leader)
        return last if of_leader is None or of_leader.reason is ErrorReason.NOT_LEADER else of_leader

    def _unavailable(self, datacenter: str, leader: str) -> HyperscaleError:
        managers = self._registry.connected(datacenter)
        addresses = dict.fromkeys([*(manager.address for manager in managers), leader])
        failures = "; ".join(
            f"{address}: {self._circuits.last_failure(address)}"
            for address in addresses
            if not self._circuits.admits(address)
        )
        if failures:
            message = f"calls to the managers of datacenter {datacenter} have failed lately: {failures}"
        elif managers:
            message = f"the managers of datacenter {datacenter} have been silent for {self._silence_limit_seconds:g} s"
        else:
            message = f"no manager of datacenter {datacenter} is connected"
        facts = {"datacenter": datacenter}
        return HyperscaleError(ErrorReason.DATACENTER_UNAVAILABLE, message, metadata=facts, retry_after_seconds=0.0)
