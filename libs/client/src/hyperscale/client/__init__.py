"""Client of a Hyperscale cluster: asynchronous, blocking, and the command line.

Names are loaded on first use, so that a command that needs no connection does not pay for gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperscale.client.client import Client
    from hyperscale.client.errors import (
        CallRefusedError,
        ClientError,
        GateUnreachableError,
        JobNotFinishedError,
        NotAGateError,
        Refusal,
        SubmissionTooLargeError,
    )
    from hyperscale.client.models.pings import NodePing
    from hyperscale.client.models.settings import ClientSettings
    from hyperscale.client.reporters.interface import Reporter
    from hyperscale.client.synchronous import SyncClient

__all__ = [
    "CallRefusedError",
    "Client",
    "ClientError",
    "ClientSettings",
    "GateUnreachableError",
    "JobNotFinishedError",
    "NodePing",
    "NotAGateError",
    "Refusal",
    "Reporter",
    "SubmissionTooLargeError",
    "SyncClient",
]

_HOME = {
    "CallRefusedError": "errors",
    "Client": "client",
    "ClientError": "errors",
    "ClientSettings": "models.settings",
    "GateUnreachableError": "errors",
    "JobNotFinishedError": "errors",
    "NodePing": "models.pings",
    "NotAGateError": "errors",
    "Refusal": "errors",
    "Reporter": "reporters.interface",
    "SubmissionTooLargeError": "errors",
    "SyncClient": "synchronous",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
