"""Protocol clients of coroutine users, by the action of a declared step that they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hyperscale.worker.engine.clients.protocol import ClientFactory


def _websocket() -> ClientFactory:
    from hyperscale.worker.engine.clients.websocket import WebSocketClient  # noqa: PLC0415 - the library is loaded by runs that need it

    return WebSocketClient


_CLIENTS: Final[Mapping[str, Callable[[], ClientFactory]]] = {"websocket": _websocket}
"""Each imports its library when a user first needs it: other runs do not pay for it."""


def client_factory(action: str) -> ClientFactory:
    """What makes the clients for an action. Raises KeyError for one that no client runs."""
    return _CLIENTS[action]()
