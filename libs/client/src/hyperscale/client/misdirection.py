"""What answers at an address where a gate was expected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import grpc

from hyperscale.client.errors import NotAGateError
from hyperscale.client.gates import Gate
from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.worker_service_pb2_grpc import WorkerServiceStub

_PINGS: Final[Mapping[str, Callable[[grpc.aio.Channel], Callable[..., Awaitable[object]]]]] = {
    "gate": lambda channel: GateServiceStub(channel).Ping,
    "manager": lambda channel: ManagerServiceStub(channel).Ping,
    "worker": lambda channel: WorkerServiceStub(channel).Ping,
}


async def not_a_gate(gate: Gate, timeout_seconds: float) -> NotAGateError | None:
    """Ask who is there, after a call that was not known there; None when it is a gate all the same."""
    for role, ping in _PINGS.items():
        try:
            await ping(gate.channel)(PingRequest(), timeout=timeout_seconds)
        except grpc.aio.AioRpcError:
            continue
        return None if role == "gate" else NotAGateError(gate.address, role)
    return NotAGateError(gate.address, "")
