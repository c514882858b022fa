"""Opens connections, a limited number at a time per origin: more would overflow a target's listen queue.

A connection that is asked for waits in a queue for a free lane. Its time limit runs from the moment it was asked for, so
a target that swallows packets costs each user its timeout and no more.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Protocol

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.connection import ExchangeListener, HttpConnection
from hyperscale.worker.engine.models.plan import EncodedStep, Origin
from hyperscale.worker.engine.resolver import Address, HostAddresses, LookupFailedError
from hyperscale.worker.engine.response import PromptFraming

MAX_OPENING_PER_ORIGIN: Final = 100
_LONGEST_HANDSHAKE_SECONDS: Final = 660.0
"""More than any step's timeout, which is what ends a handshake."""


class ConnectionUser(ExchangeListener, Protocol):
    """Asks for connections, and is told of each how that went."""

    def on_connected(self, connection: HttpConnection) -> None:
        """The connection is open."""

    def on_connect_failed(self, error_class: pb.ErrorClass.ValueType) -> None:
        """There will be no connection."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    user: ConnectionUser
    asked_at: float
    timeout_seconds: float

    def remaining_seconds(self) -> float:
        return self.asked_at + self.timeout_seconds - perf_counter()


class ConnectFailedError(Exception):
    """A connection could not be opened."""

    def __init__(self, error_class: pb.ErrorClass.ValueType) -> None:
        super().__init__(pb.ErrorClass.Name(error_class))
        self.error_class = error_class


class OriginConnector:
    """Opens the connections to one origin."""

    def __init__(self, origin: Origin, prompts: Sequence[PromptFraming]) -> None:
        """`prompts`: by step of the plan, handed to every connection."""
        self._origin = origin
        self._prompts = prompts
        self._addresses = HostAddresses(origin.host, origin.port)
        self._tls = ssl.create_default_context() if origin.tls else None
        # Holds at most one entry per user, since a user waits for the one it asked for.
        self._wanted: asyncio.Queue[_Wanted] = asyncio.Queue()

    def want(self, user: ConnectionUser, step: EncodedStep) -> None:
        """Open a connection for a user within the step's timeout; it is told later, never from within this call."""
        self._wanted.put_nowait(_Wanted(user, perf_counter(), step.timeout_seconds))

    def start(self, tasks: asyncio.TaskGroup, most_users: int) -> list[asyncio.Task[None]]:
        """Begin to serve, with as many lanes as can ever be of use; they end when they are cancelled."""
        name = f"connect {self._origin.host}:{self._origin.port}"
        lanes = min(most_users, MAX_OPENING_PER_ORIGIN)
        return [tasks.create_task(self._serve(), name=name) for _ in range(lanes)]

    async def _serve(self) -> None:
        while True:
            wanted = await self._wanted.get()
            try:
                async with asyncio.timeout(max(0.0, wanted.remaining_seconds())):
                    connection = await self._open(wanted.user)
            except TimeoutError:
                wanted.user.on_connect_failed(pb.ERROR_CLASS_TIMEOUT)
            except ConnectFailedError as failure:
                wanted.user.on_connect_failed(failure.error_class)
            else:
                wanted.user.on_connected(connection)

    async def _open(self, user: ConnectionUser) -> HttpConnection:
        try:
            addresses = await self._addresses.all()
        except LookupFailedError as error:
            raise ConnectFailedError(pb.ERROR_CLASS_DNS) from error
        connected, address = await _connect_any(addresses)
        self._addresses.prefer(address)
        try:
            return await self._wrap(connected, user)
        except BaseException:
            connected.close()
            raise

    async def _wrap(self, connected: socket.socket, user: ConnectionUser) -> HttpConnection:
        """The connection over a connected socket, after the TLS handshake if there is one."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: HttpConnection(user, self._prompts),
                sock=connected,
                ssl=self._tls,
                server_hostname=self._origin.host if self._tls else None,
                ssl_handshake_timeout=_LONGEST_HANDSHAKE_SECONDS if self._tls else None,
            )
        except OSError as error:
            raise ConnectFailedError(pb.ERROR_CLASS_TLS if self._tls else pb.ERROR_CLASS_CONNECT) from error
        return connection


async def _connect_any(addresses: list[Address]) -> tuple[socket.socket, Address]:
    """A socket connected to the first address that takes it."""
    failure: OSError | None = None
    for address in addresses:
        try:
            return await _connect(address), address
        except OSError as error:
            failure = error
    raise ConnectFailedError(pb.ERROR_CLASS_CONNECT) from failure


async def _connect(address: Address) -> socket.socket:
    connecting = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, address.address)
    except BaseException:
        connecting.close()
        raise
    return connecting
