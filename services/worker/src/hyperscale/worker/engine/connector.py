"""Opens connections, a limited number at a time per origin: more would overflow a target's listen queue.

A connection that is asked for waits in a queue for a free lane. Its time limit runs from the moment it was asked for, so
a target that swallows packets costs each user its timeout and no more.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.connection import ExchangeListener, HttpConnection
from hyperscale.worker.engine.http1_connection import Http1Connection
from hyperscale.worker.engine.models.http import ConnectPhases
from hyperscale.worker.engine.models.network import NetworkOptions
from hyperscale.worker.engine.models.plan import EncodedStep, Origin
from hyperscale.worker.engine.proxy import ProxyRefusedError
from hyperscale.worker.engine.resolver import Address, HostAddresses, LookupFailedError
from hyperscale.worker.engine.response import PromptFraming
from hyperscale.worker.engine.tls import chose_http2, is_refused_protocol

if TYPE_CHECKING:
    from hyperscale.worker.engine.http2_channel import Http2Channel
    from hyperscale.worker.engine.http2_connection import Http2Connection

MAX_OPENING_PER_ORIGIN: Final = 100
_LONGEST_HANDSHAKE_SECONDS: Final = 660.0
"""More than any step's timeout, which is what ends a handshake."""
_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
_AT_ONCE: Final = 0.0


class ConnectionUser(ExchangeListener, Protocol):
    """Asks for connections, and is told of each how that went."""

    def on_connected(self, connection: HttpConnection, phases: ConnectPhases) -> None:
        """The connection is open."""

    def on_connect_failed(self, error_class: pb.ErrorClass.ValueType, blocked_seconds: float) -> None:
        """There will be no connection."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    user: ConnectionUser
    asked_at: float
    step: EncodedStep

    @property
    def connect_deadline(self) -> float:
        return self.asked_at + min(self.step.connect_timeout_seconds, self.step.timeout_seconds)

    def waited_seconds(self) -> float:
        return perf_counter() - self.asked_at

    def fail(self, error_class: pb.ErrorClass.ValueType) -> None:
        self.user.on_connect_failed(error_class, self.waited_seconds())


class ConnectFailedError(Exception):
    """A connection could not be opened."""

    def __init__(self, error_class: pb.ErrorClass.ValueType) -> None:
        super().__init__(pb.ErrorClass.Name(error_class))
        self.error_class = error_class


class OriginConnector:
    """Opens the connections to one origin, and shares them out when their number is limited."""

    def __init__(self, origin: Origin, network: NetworkOptions, prompts: Sequence[PromptFraming]) -> None:
        """`prompts`: by step of the plan, handed to every connection."""
        self.origin = origin
        self._network = network
        self._prompts = prompts
        self._http2 = _http2() if origin.speaks_http2 else None
        proxy = network.proxy
        host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
        self._addresses = HostAddresses(host, port, network.dns_ttl_seconds)
        # Everything but plain HTTP/1.1 goes through a tunnel.
        self._has_tunnel = proxy is not None and (origin.tls or origin.speaks_http2)
        self._rewrite = partial(proxy.addressed, origin=origin) if proxy is not None and not self._has_tunnel else None
        # Holds at most one entry per user, since a user waits for the one it asked for.
        self._wanted: asyncio.Queue[_Wanted] = asyncio.Queue()
        limit = network.max_connections
        self._free = asyncio.Semaphore(limit) if limit else None
        self._idle: deque[HttpConnection] = deque(maxlen=limit or 0)

    def want(self, user: ConnectionUser, step: EncodedStep) -> None:
        """Get a user a connection within the step's timeouts; it is told later, never from within this call."""
        wanted = _Wanted(user, perf_counter(), step)
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                asyncio.get_running_loop().call_soon(self._hand_over, connection, wanted)
                return
        self._wanted.put_nowait(wanted)

    def give_back(self, connection: HttpConnection) -> None:
        """Pass a connection that its user needs no more to who waits longest."""
        while connection.is_usable and not self._wanted.empty():
            wanted = self._wanted.get_nowait()
            if wanted.connect_deadline > perf_counter():
                self._hand_over(connection, wanted)
                return
            wanted.fail(pb.ERROR_CLASS_TIMEOUT)
        if connection.is_usable:
            self._idle.append(connection)

    def start(self, tasks: asyncio.TaskGroup, most_users: int) -> list[asyncio.Task[None]]:
        """Begin to serve, with as many lanes as can ever be of use; they end when they are cancelled."""
        name = f"connect {self.origin.host}:{self.origin.port}"
        lanes = min(most_users, MAX_OPENING_PER_ORIGIN, self._network.max_connections or most_users)
        return [tasks.create_task(self._serve(), name=name) for _ in range(lanes)]

    def close_idle(self) -> None:
        """Close the connections that nobody has."""
        while self._idle:
            self._idle.pop().close()

    def _hand_over(self, connection: HttpConnection, wanted: _Wanted) -> None:
        waited_seconds = wanted.waited_seconds()
        connection.serve(wanted.user)
        wanted.user.on_connected(
            connection, ConnectPhases(waited_seconds, _AT_ONCE, _AT_ONCE if self.origin.tls else None)
        )

    async def _serve(self) -> None:
        while True:
            if self._free is not None:
                await self._free.acquire()
            wanted = await self._wanted.get()
            try:
                connection, phases = await self._open(wanted)
            except TimeoutError:
                self._release()
                wanted.fail(pb.ERROR_CLASS_TIMEOUT)
            except ConnectFailedError as failure:
                self._release()
                wanted.fail(failure.error_class)
            else:
                wanted.user.on_connected(connection, phases)

    def _release(self) -> None:
        """One connection fewer is open."""
        if self._free is not None:
            self._free.release()

    async def _open(self, wanted: _Wanted) -> tuple[HttpConnection, ConnectPhases]:
        """Raises ConnectFailedError, and TimeoutError when a phase takes too long."""
        async with asyncio.timeout(_until(wanted.connect_deadline)):
            addresses = await self._look_up()
            began = perf_counter()
            connected = await self._connect(addresses, wanted.connect_deadline)
        connected_at = perf_counter()
        try:
            connection = await self._wrap(connected, wanted, connected_at)
        except BaseException:
            connected.close()
            raise
        tls_seconds = perf_counter() - connected_at if self.origin.tls else None
        return connection, ConnectPhases(wanted.waited_seconds(), connected_at - began, tls_seconds)

    async def _look_up(self) -> list[Address]:
        try:
            return await self._addresses.all()
        except LookupFailedError as error:
            by_kind = pb.ERROR_CLASS_LOCAL if error.is_local else pb.ERROR_CLASS_DNS
            raise ConnectFailedError(self._blamed(by_kind)) from error

    async def _connect(self, addresses: list[Address], deadline: float) -> socket.socket:
        """A socket connected to the first address that takes it, through the proxy's tunnel if there is one.

        Each address but the last may use its part of the time: one that swallows packets does not hide the others.
        """
        failure: OSError | None = None
        for number, address in enumerate(addresses):
            share = (deadline - perf_counter()) / (len(addresses) - number)
            try:
                async with asyncio.timeout(max(0.0, share)):
                    return await self._connect_to(address)
            except OSError as error:
                self._addresses.failed(address)
                failure = error
        if isinstance(failure, TimeoutError):
            raise failure
        raise ConnectFailedError(self._blamed(_class_of(failure))) from failure

    async def _connect_to(self, address: Address) -> socket.socket:
        connecting = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, address.address)
            if self._network.proxy is not None and self._has_tunnel:
                await self._network.proxy.open_tunnel(connecting, self.origin)
        except BaseException:
            connecting.close()
            raise
        return connecting

    async def _wrap(self, connected: socket.socket, wanted: _Wanted, now: float) -> HttpConnection:
        """The connection over a connected socket, after the TLS handshake if there is one."""
        tls = self._network.tls_to(self.origin)
        deadline = min(wanted.asked_at + wanted.step.timeout_seconds, now + wanted.step.tls_timeout_seconds)
        try:
            async with asyncio.timeout(_until(deadline)):
                transport, protocol = await asyncio.get_running_loop().create_connection(
                    partial(self._protocol, wanted.user),
                    sock=connected,
                    ssl=tls,
                    server_hostname=(self._network.server_name or self.origin.host) if tls else None,
                    ssl_handshake_timeout=_LONGEST_HANDSHAKE_SECONDS if tls else None,
                )
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectFailedError(_class_of_handshake(error) if tls else _class_of(error)) from error
        if isinstance(protocol, Http1Connection):
            return protocol
        assert self._http2 is not None
        if tls is not None and not chose_http2(transport):
            transport.abort()
            raise ConnectFailedError(pb.ERROR_CLASS_PROTOCOL)
        return self._http2(protocol, wanted.user)

    def _protocol(self, user: ConnectionUser) -> Http1Connection | Http2Connection:
        if self._http2 is not None:
            return self._http2.protocol(self.origin)
        is_shared = self._free is not None
        on_lost = self._release if is_shared else None
        return Http1Connection(user, self._prompts, is_shared=is_shared, rewrite=self._rewrite, on_lost=on_lost)

    def _blamed(self, error_class: pb.ErrorClass.ValueType) -> pb.ErrorClass.ValueType:
        """What goes wrong on the way to a proxy is the proxy's, unless it is our own."""
        if self._network.proxy is None or error_class == pb.ERROR_CLASS_LOCAL:
            return error_class
        return pb.ERROR_CLASS_PROXY


def _http2() -> type[Http2Channel]:
    from hyperscale.worker.engine.http2_channel import Http2Channel  # noqa: PLC0415 - the library is loaded by runs that need it

    return Http2Channel


def _until(deadline: float) -> float:
    return max(0.0, deadline - perf_counter())


def _class_of_handshake(error: OSError) -> pb.ErrorClass.ValueType:
    return pb.ERROR_CLASS_PROTOCOL if is_refused_protocol(error) else pb.ERROR_CLASS_TLS


def _class_of(error: OSError | None) -> pb.ErrorClass.ValueType:
    if isinstance(error, ProxyRefusedError):
        return pb.ERROR_CLASS_PROXY
    if error is not None and error.errno in _OUT_OF_RESOURCES:
        return pb.ERROR_CLASS_LOCAL
    return pb.ERROR_CLASS_CONNECT
