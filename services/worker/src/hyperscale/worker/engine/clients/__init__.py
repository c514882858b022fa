"""The clients of one coroutine user, for the protocols that its steps and its code speak."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hyperscale.worker.engine.clients.http_steps import UserHttpSteps
from hyperscale.worker.engine.clients.protocol import ClientContext, ClientFactory, ProtocolClient
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.workload.language.client_kinds import ClientKind


def _grpc() -> ClientFactory:
    # Failures of calls are counted; the library would write a line for each as well.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from hyperscale.worker.engine.clients.grpc import UserGrpc  # noqa: PLC0415 - the library is loaded by runs that need it

    return UserGrpc


def _http() -> ClientFactory:
    return UserHttpSteps


def _tcp() -> ClientFactory:
    from hyperscale.worker.engine.clients.tcp import UserTcp  # noqa: PLC0415 - as for the others

    return UserTcp


def _udp() -> ClientFactory:
    from hyperscale.worker.engine.clients.udp import UserUdp  # noqa: PLC0415 - as for the others

    return UserUdp


def _websocket() -> ClientFactory:
    from hyperscale.worker.engine.clients.websocket import UserWebSockets  # noqa: PLC0415 - the library is loaded by runs that need it

    return UserWebSockets


_FACTORIES: Final[Mapping[ClientKind, Callable[[], ClientFactory]]] = {
    ClientKind.GRPC: _grpc,
    ClientKind.HTTP: _http,
    ClientKind.TCP: _tcp,
    ClientKind.UDP: _udp,
    ClientKind.WEBSOCKET: _websocket,
}
"""Each imports its library when a user first needs it: other runs do not pay for it."""

_OTHER_ACTIONS: Final[Mapping[str, ClientKind]] = {"graphql": ClientKind.HTTP}
"""Actions that are run by a client that does not have their name."""


def load_client(action: str) -> None:
    """Import the library for an action, so that no user waits for that. Raises ValueError for one that no client runs."""
    _FACTORIES[_OTHER_ACTIONS.get(action) or ClientKind(action)]()


class UserClients:
    """Makes each client when its user first needs it; all are closed with the user."""

    def __init__(self, context: ClientContext) -> None:
        self.measurement = context.measurement
        """Where their calls are measured."""
        self._context = context
        self._clients: dict[ClientKind, ProtocolClient] = {}

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that they have opened last."""
        return [connection for client in self._clients.values() for connection in client.connections]

    def of_action(self, action: str) -> ProtocolClient:
        """The client that runs declared steps of an action."""
        return self.of_kind(_OTHER_ACTIONS.get(action) or ClientKind(action))

    def of_kind(self, kind: ClientKind) -> ProtocolClient:
        """The client for a protocol."""
        client = self._clients.get(kind)
        if client is None:
            client = self._clients[kind] = _FACTORIES[kind]()(self._context)
        return client

    async def close(self) -> None:
        """Close them."""
        for client in self._clients.values():
            await client.close()
