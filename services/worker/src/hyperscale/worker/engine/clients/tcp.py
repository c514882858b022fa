"""TCP connections, over the streams of asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Unpack

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.dialing import AddressBook, connected_socket
from hyperscale.worker.engine.clients.protocol import Call, CallError, ClientContext, error_class_of
from hyperscale.worker.engine.clients.tcp_stream import CHUNK_BYTES, Keep, TcpStream
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.inspection import MAX_INSPECTED_BYTES
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.worker.engine.resolver import Address
from hyperscale.workload.defaults import REQUEST_TIMEOUT_SECONDS, session_timeout_seconds
from hyperscale.workload.language.sockets import TcpOptions
from hyperscale.workload.socket_addresses import TCP_SCHEMES, SocketEndpoint, parse_address

_PROTOCOL: Final = "tcp"
_MS_PER_SECOND: Final = 1000.0
_MOST_READ_BYTES: Final = 1024 * 1024
_MAX_KEPT_CONNECTIONS: Final = 100
"""Per user; a connection beyond these is closed although it was to be kept."""
_LONGEST_HANDSHAKE_SECONDS: Final = 660.0
"""More than any step's timeout, which is what ends a handshake."""
_LONGEST_TLS_END_SECONDS: Final = 1.0
"""A peer that does not say goodbye is left after this; nobody waits for it meanwhile."""

Act = Callable[[TcpStream, Call, Keep], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Talk:
    """A declared step, ready to be run."""

    step: workflow_pb2.Step
    endpoint: SocketEndpoint
    timeout_seconds: float
    acts: tuple[Act, ...]


class UserTcp:
    """The connections of one user."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._addresses = AddressBook.of(context.parts)
        self._talks: dict[str, _Talk] = {}
        """Compiled last, by step."""
        self._kept: dict[SocketEndpoint, TcpStream] = {}

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """None: they look after their time limits themselves."""
        return ()

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Do what a step says. Raises CallError, already counted."""
        talk = self._talks.get(step.name)
        if talk is None or talk.step is not step:
            talk = self._talks[step.name] = _compile(step)
        body = _Beginning(MAX_INSPECTED_BYTES)
        with self._context.measurement.call(_PROTOCOL) as call, _translating():
            async with asyncio.timeout(talk.timeout_seconds):
                async with self._opened(
                    talk.endpoint, talk.timeout_seconds, call, is_kept=step.tcp.keep_open
                ) as stream:
                    for act in talk.acts:
                        await act(stream, call, body.keep)
        return CallReply(call.duration_seconds, bytes(body.data))

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the call made last as failed."""
        self._context.measurement.reject(_PROTOCOL, error_class)

    async def close(self) -> None:
        """Close the connections that were kept."""
        while self._kept:
            self._kept.popitem()[1].close()

    @asynccontextmanager
    async def connect(self, address: str, **options: Unpack[TcpOptions]) -> AsyncIterator[OpenTcpConnection]:
        """See `hyperscale.workload.TcpClient`."""
        endpoint = parse_address(address, TCP_SCHEMES)
        timeout_seconds = options.get("timeout_seconds", REQUEST_TIMEOUT_SECONDS)
        with self._context.measurement.session(_PROTOCOL) as call:
            is_kept = options.get("keep_open", False)
            async with self._opened(endpoint, timeout_seconds, call, is_kept=is_kept) as stream:
                most_read_bytes = options.get("most_read_bytes", _MOST_READ_BYTES)
                yield OpenTcpConnection(stream, call, timeout_seconds, most_read_bytes)

    @asynccontextmanager
    async def _opened(
        self, endpoint: SocketEndpoint, timeout_seconds: float, call: Call, *, is_kept: bool
    ) -> AsyncIterator[TcpStream]:
        """A connection for a block; it is dropped when an exception leaves that.

        Parameters
        ----------
        timeout_seconds
            For connecting.
        """
        stream = self._kept.pop(endpoint, None) if is_kept else None
        if stream is None or not stream.is_usable:
            if stream is not None:
                stream.close()
            stream = await self._dial(endpoint, timeout_seconds, call)
        try:
            yield stream
        except BaseException:
            stream.abort()
            raise
        if is_kept and stream.is_usable and endpoint not in self._kept and len(self._kept) < _MAX_KEPT_CONNECTIONS:
            self._kept[endpoint] = stream
        else:
            stream.close()

    async def _dial(self, endpoint: SocketEndpoint, timeout_seconds: float, call: Call) -> TcpStream:
        started = perf_counter()
        encryption = self._encryption(endpoint)

        async def dial(address: Address) -> TcpStream:
            connected = await connected_socket(address, socket.SOCK_STREAM)
            try:
                reader, writer = await asyncio.open_connection(sock=connected, limit=CHUNK_BYTES, **encryption)
            except BaseException:
                connected.close()
                raise
            return TcpStream(reader, writer)

        with _translating():
            stream = await self._addresses.reach(endpoint, timeout_seconds, dial)
        call.record("tcp_socket_connecting", (perf_counter() - started) * _MS_PER_SECOND)
        call.count("tcp_sockets")
        return stream

    def _encryption(self, endpoint: SocketEndpoint) -> dict[str, Any]:
        if not endpoint.is_tls:
            return {}
        return {
            "ssl": self._context.tls,
            "server_hostname": self._context.http_options.server_name or endpoint.host,
            "ssl_handshake_timeout": _LONGEST_HANDSHAKE_SECONDS,
            "ssl_shutdown_timeout": _LONGEST_TLS_END_SECONDS,
        }


class OpenTcpConnection:
    """A connection as code has it; see `hyperscale.workload.TcpConnection`."""

    def __init__(self, stream: TcpStream, call: Call, timeout_seconds: float, most_bytes: int) -> None:
        self._stream = stream
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._most_bytes = most_bytes

    async def send(self, data: str | bytes) -> None:
        """Send bytes."""
        async with self._limited():
            await self._stream.write(data.encode() if isinstance(data, str) else data, self._call)

    async def read(self, size_bytes: int) -> bytes:
        """So many bytes."""
        content = _Whole(self._most_bytes)
        async with self._limited():
            await self._stream.read_exactly(size_bytes, self._call, content.keep)
        return bytes(content.data)

    async def read_until(self, delimiter: str | bytes) -> bytes:
        """Everything up to and with a delimiter."""
        if not delimiter:
            raise ValueError("a delimiter has at least one byte")
        content = _Whole(self._most_bytes)
        async with self._limited():
            end = delimiter.encode() if isinstance(delimiter, str) else delimiter
            await self._stream.read_until(end, self._call, content.keep)
        return bytes(content.data)

    async def read_to_end(self) -> bytes:
        """Everything until the peer closes."""
        content = _Whole(self._most_bytes)
        async with self._limited():
            await self._stream.read_to_end(self._call, content.keep)
        return bytes(content.data)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            with _translating():
                async with asyncio.timeout(self._timeout_seconds):
                    yield
        except BaseException:
            # What was read of it is gone: whoever has the connection next would begin in the middle.
            self._stream.spoil()
            raise


class _Beginning:
    """Keeps the first bytes of what is read, and lets the others go."""

    def __init__(self, most_bytes: int) -> None:
        self.data = bytearray()
        self._most_bytes = most_bytes

    def keep(self, chunk: bytes) -> None:
        """Take a piece."""
        self.data += chunk[: self._most_bytes - len(self.data)]


class _Whole:
    """Keeps all of what is read, up to a limit."""

    def __init__(self, most_bytes: int) -> None:
        self.data = bytearray()
        self._most_bytes = most_bytes

    def keep(self, chunk: bytes) -> None:
        """Take a piece. Raises CallError when there is too much."""
        if len(self.data) + len(chunk) > self._most_bytes:
            raise CallError(pb.ERROR_CLASS_PROTOCOL, f"more than {self._most_bytes:,} bytes came")
        self.data += chunk


def _compile(step: workflow_pb2.Step) -> _Talk:
    return _Talk(
        step=step,
        endpoint=parse_address(step.tcp.address, TCP_SCHEMES),
        timeout_seconds=session_timeout_seconds(step.tcp),
        acts=tuple(_compile_action(action) for action in step.tcp.actions),
    )


def _compile_action(action: workflow_pb2.TcpAction) -> Act:
    match action.WhichOneof("action"):
        case "send_text":
            return _sending(action.send_text.encode())
        case "send_binary":
            return _sending(action.send_binary)
        case _:
            return _reading(action.read)


def _sending(data: bytes) -> Act:
    return lambda stream, call, _: stream.write(data, call)


def _reading(read: workflow_pb2.TcpRead) -> Act:
    match read.WhichOneof("until"):
        case "delimiter":
            delimiter = read.delimiter.encode()
            return lambda stream, call, keep: stream.read_until(delimiter, call, keep)
        case "bytes":
            return lambda stream, call, keep: stream.read_exactly(read.bytes, call, keep)
        case _:
            return lambda stream, call, keep: stream.read_to_end(call, keep)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CallError(error_class_of(error), str(error)) from error
