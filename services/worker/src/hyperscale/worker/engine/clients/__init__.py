"""Protocol clients of coroutine users, by the action of a declared step that they run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

from hyperscale.worker.engine.clients.protocol import ClientFactory

CLIENTS: Final[Mapping[str, str]] = {"websocket": "websocket:WebSocketClient"}
"""Where the client of each action is: module below this package, colon, name. Imported when a user first needs it."""


def client_factory(action: str) -> ClientFactory:
    """What makes the clients for an action. Raises KeyError for one that no client runs."""
    module, _, name = CLIENTS[action].partition(":")
    return cast("ClientFactory", getattr(import_module(f"{__name__}.{module}"), name))
