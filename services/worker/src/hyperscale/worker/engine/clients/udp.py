"""UDP sockets. The system keeps what nobody has received yet, and drops what is too much, as UDP does anyway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Unpack

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.dialing import AddressBook, connected_socket
from hyperscale.worker.engine.clients.expectations import Awaited, compile_expectation
from hyperscale.worker.engine.clients.protocol import Call, CallError, ClientContext, error_class_of
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.worker.engine.resolver import Address
from hyperscale.workload.defaults import DATAGRAM_TIMEOUT_SECONDS, exchange_timeout_seconds
from hyperscale.workload.language.sockets import UdpOptions
from hyperscale.workload.socket_addresses import UDP_SCHEMES, SocketEndpoint, parse_address

_PROTOCOL: Final = "udp"
_LARGEST_DATAGRAM_BYTES: Final = 65_535


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A declared step, ready to be run."""

    step: workflow_pb2.Step
    endpoint: SocketEndpoint
    timeout_seconds: float
    actions: tuple[bytes | Awaited, ...]


class UserUdp:
    """The sockets of one user, each for one call: an answer that is late cannot be taken for that of a later call."""

    def __init__(self, context: ClientContext) -> None:
        self._measurement = context.measurement
        self._addresses = AddressBook.of(context.parts)
        self._exchanges: dict[str, _Exchange] = {}
        """Compiled last, by step."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """None: there are no connections."""
        return ()

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Do what a step says. Raises CallError, already counted."""
        exchange = self._exchanges.get(step.name)
        if exchange is None or exchange.step is not step:
            exchange = self._exchanges[step.name] = _compile(step)
        body = b""
        with self._measurement.call(_PROTOCOL) as call, _translating():
            async with (
                asyncio.timeout(exchange.timeout_seconds),
                self._opened(exchange.endpoint, exchange.timeout_seconds) as opened,
            ):
                for action in exchange.actions:
                    if isinstance(action, bytes):
                        await _send(opened, action, call)
                    else:
                        body = await _await(opened, action, call)
        return CallReply(call.duration_seconds, body)

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the call made last as failed."""
        self._measurement.reject(_PROTOCOL, error_class)

    async def close(self) -> None:
        """Nothing is open between calls."""

    @asynccontextmanager
    async def open(self, address: str, **options: Unpack[UdpOptions]) -> AsyncIterator[OpenUdpSocket]:
        """See `hyperscale.workload.UdpClient`."""
        endpoint = parse_address(address, UDP_SCHEMES)
        with self._measurement.session(_PROTOCOL) as call:
            timeout_seconds = options.get("timeout_seconds", DATAGRAM_TIMEOUT_SECONDS)
            async with self._opened(endpoint, timeout_seconds) as opened:
                yield OpenUdpSocket(opened, call, timeout_seconds)

    @asynccontextmanager
    async def _opened(self, endpoint: SocketEndpoint, timeout_seconds: float) -> AsyncIterator[socket.socket]:
        """A socket that takes datagrams from its peer only."""
        with _translating():
            opened = await self._addresses.reach(endpoint, timeout_seconds, _connect)
        with opened:
            yield opened


class OpenUdpSocket:
    """A socket as code has it; see `hyperscale.workload.UdpSocket`."""

    def __init__(self, opened: socket.socket, call: Call, timeout_seconds: float) -> None:
        self._opened = opened
        self._call = call
        self._timeout_seconds = timeout_seconds

    async def send(self, data: str | bytes) -> None:
        """Send a datagram."""
        with _translating():
            async with asyncio.timeout(self._timeout_seconds):
                await _send(self._opened, data.encode() if isinstance(data, str) else data, self._call)

    async def receive(self, *, timeout_seconds: float | None = None) -> bytes:
        """The next datagram."""
        with _translating():
            async with asyncio.timeout(self._timeout_seconds if timeout_seconds is None else timeout_seconds):
                return await _receive(self._opened, self._call)


async def _connect(address: Address) -> socket.socket:
    return await connected_socket(address, socket.SOCK_DGRAM)


async def _send(opened: socket.socket, data: bytes, call: Call) -> None:
    await asyncio.get_running_loop().sock_sendall(opened, data)
    call.sent(len(data))
    call.count("udp_datagrams_sent")


async def _await(opened: socket.socket, awaited: Awaited, call: Call) -> bytes:
    """The datagram that was waited for last."""
    missing, datagram = awaited.count, b""
    while missing:
        datagram = await _receive(opened, call)
        missing -= awaited.matches(datagram)
    return datagram


async def _receive(opened: socket.socket, call: Call) -> bytes:
    # A datagram that is there already is returned at once: a peer that floods us must not keep others from their turn.
    await asyncio.sleep(0)
    datagram = await asyncio.get_running_loop().sock_recv(opened, _LARGEST_DATAGRAM_BYTES)
    call.received(len(datagram))
    call.count("udp_datagrams_received")
    return datagram


def _compile(step: workflow_pb2.Step) -> _Exchange:
    return _Exchange(
        step=step,
        endpoint=parse_address(step.udp.address, UDP_SCHEMES),
        timeout_seconds=exchange_timeout_seconds(step.udp),
        actions=tuple(_compile_action(action) for action in step.udp.actions),
    )


def _compile_action(action: workflow_pb2.UdpAction) -> bytes | Awaited:
    match action.WhichOneof("action"):
        case "send_text":
            return action.send_text.encode()
        case "send_binary":
            return action.send_binary
        case _:
            return compile_expectation(action.expect)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CallError(error_class_of(error), str(error)) from error
