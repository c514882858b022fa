"""Which clients a user can have beside that for HTTP/1.1."""

from __future__ import annotations

from enum import Enum


class ClientKind(Enum):
    """What a client speaks; the value is the action of the declared steps that it runs."""

    GRPC = "grpc"
    TCP = "tcp"
    UDP = "udp"
    WEBSOCKET = "websocket"
