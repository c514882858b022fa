"""Answers of nodes that were asked whether they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from hyperscale.v1.gate_service_pb2 import GatePingResponse
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse

Answer = TypeVar("Answer", GatePingResponse, ManagerPingResponse)


@dataclass(frozen=True, slots=True)
class NodePing(Generic[Answer]):
    """What one address answered; ``answer`` is None and ``error`` set when it did not."""

    address: str
    round_trip_ms: float
    answer: Answer | None = None
    error: str = ""
