"""Which clients a user can have."""

from __future__ import annotations

from enum import Enum


class ClientKind(Enum):
    """What a client speaks; the value is the action of the declared steps that it runs."""

    GRPC = "grpc"
    HTTP = "http"
    """Of declared steps; code has `Workflow.http`."""
    TCP = "tcp"
    UDP = "udp"
    WEBSOCKET = "websocket"
