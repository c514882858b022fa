"""Calls to whoever leads a datacenter now."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import grpc.aio

from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, manager_service_pb2
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub

AnswerT = TypeVar("AnswerT")

_MAX_ADDRESSES = 8

_ASK_ANOTHER = frozenset(
    {
        ErrorReason.NOT_LEADER,
        ErrorReason.PEER_UNREACHABLE,
        ErrorReason.DEADLINE_EXCEEDED,
        ErrorReason.NOT_READY,
        ErrorReason.SYNCING,
        ErrorReason.DRAINING,
    }
)


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
        return await _decoded(self._stub(address).SubmitJob(dispatch, timeout=self._timeout_seconds))

    async def cancel_job(self, address: str, request: dispatch_pb2.JobCancelRequest) -> dispatch_pb2.JobCancelResponse:
        """ManagerService.CancelJob."""
        return await _decoded(self._stub(address).CancelJob(request, timeout=self._timeout_seconds))

    async def query_workflows(
        self, address: str, request: gate_service_pb2.WorkflowQueryRequest
    ) -> manager_service_pb2.WorkflowQueryResponse:
        """ManagerService.QueryWorkflows."""
        return await _decoded(self._stub(address).QueryWorkflows(request, timeout=self._timeout_seconds))

    async def list_nodes(self, address: str) -> NodeListResponse:
        """MembershipService.ListNodes."""
        stub = self._pool.stub(address, MembershipServiceStub)
        return await _decoded(stub.ListNodes(NodeListRequest(), timeout=self._timeout_seconds))

    def _stub(self, address: str) -> ManagerServiceStub:
        return self._pool.stub(address, ManagerServiceStub)


class DatacenterCaller:
    """Finds the leader of a datacenter: tries the managers that are connected, and follows their hints."""

    def __init__(self, registry: ManagerRegistry) -> None:
        self._registry = registry

    async def ask(self, datacenter: str, call: Callable[[str], Awaitable[AnswerT]]) -> AnswerT:
        """Call each address at most once until one answers; raises the last error, or the first that is final.

        Raises DATACENTER_UNAVAILABLE when no manager is connected.
        """
        waiting = deque(self._registry.addresses(datacenter))
        tried: set[str] = set()
        failure = HyperscaleError(
            ErrorReason.DATACENTER_UNAVAILABLE,
            f"no manager of datacenter {datacenter} is connected",
            metadata={"datacenter": datacenter},
            retry_after_seconds=0.0,
        )
        while waiting and len(tried) < _MAX_ADDRESSES:
            address = waiting.popleft()
            if address in tried:
                continue
            tried.add(address)
            try:
                return await call(address)
            except HyperscaleError as error:
                if error.reason not in _ASK_ANOTHER:
                    raise
                failure = error
                if error.leader is not None:
                    waiting.appendleft(error.leader)
        raise failure


async def _decoded(call: Awaitable[AnswerT]) -> AnswerT:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
