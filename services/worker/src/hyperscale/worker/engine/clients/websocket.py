"""WebSocket sessions, over the `websockets` library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Unpack

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.expectations import Awaited, compile_expectation
from hyperscale.worker.engine.clients.protocol import Call, CallError, ClientContext, error_class_of
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.workload.defaults import REQUEST_TIMEOUT_SECONDS, session_timeout_seconds
from hyperscale.workload.language.websocket import WebSocketOptions
from hyperscale.workload.urls import websocket_url

_PROTOCOL: Final = "ws"
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_MS_PER_SECOND: Final = 1000.0
_OWN_COMPLAINTS: Final = frozenset({1002, 1007, 1009})
"""Codes with which our side closes what it cannot take: bad frames, bad text, too long."""


@dataclass(frozen=True, slots=True)
class _Handshake:
    """How a session is opened."""

    url: str
    headers: Mapping[str, str]
    subprotocols: Sequence[str]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class _Session:
    """A declared session, ready to be held."""

    step: workflow_pb2.Step
    handshake: _Handshake
    actions: tuple[str | bytes | Awaited, ...]


class UserWebSockets:
    """The sessions of one user, one after the other."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._sessions: dict[str, _Session] = {}
        """Compiled last, by step."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """None: sessions look after their time limits themselves."""
        return ()

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Hold the session of a step. Raises CallError, already counted."""
        session = self._sessions.get(step.name)
        if session is None or session.step is not step:
            session = self._sessions[step.name] = _compile(step, self._context.target)
        with self._context.measurement.call(_PROTOCOL) as call, _translating(call):
            async with (
                asyncio.timeout(session.handshake.timeout_seconds),
                self._opened(session.handshake, call) as opened,
            ):
                for action in session.actions:
                    await _act(opened, action)
        return opened.reply()

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the session held last as failed."""
        self._context.measurement.reject(_PROTOCOL, error_class)

    async def close(self) -> None:
        """Nothing is open between calls."""

    @asynccontextmanager
    async def connect(self, url: str, **options: Unpack[WebSocketOptions]) -> AsyncIterator[OpenWebSocket]:
        """See `hyperscale.workload.WebSocketClient`."""
        handshake = _Handshake(
            url=websocket_url(self._context.target, url),
            headers=options.get("headers") or {},
            subprotocols=options.get("subprotocols") or (),
            timeout_seconds=options.get("timeout_seconds", REQUEST_TIMEOUT_SECONDS),
        )
        with self._context.measurement.session(_PROTOCOL) as call:
            async with self._opened(handshake, call) as opened:
                yield opened

    @asynccontextmanager
    async def _opened(self, handshake: _Handshake, call: Call) -> AsyncIterator[OpenWebSocket]:
        """A session that is closed properly at the end, unless the block is left by an exception."""
        started = perf_counter()
        with _translating(call):
            async with asyncio.timeout(handshake.timeout_seconds):
                connection = await self._open(handshake)
        call.record("ws_connecting", _ms_since(started))
        call.count("ws_sessions")
        try:
            yield OpenWebSocket(connection, call, handshake.timeout_seconds)
            with _translating(call):
                await connection.close()
        finally:
            call.record("ws_session_duration", _ms_since(started))
            # Whatever happened: nobody waits for the peer any more.
            connection.transport.abort()

    async def _open(self, handshake: _Handshake) -> ClientConnection:
        options = self._context.http_options
        encryption: dict[str, Any] = {}
        if handshake.url.lower().startswith("wss:"):
            encryption["ssl"] = self._context.tls
            if options.server_name:
                encryption["server_hostname"] = options.server_name
        names_agent = any(name.lower() == "user-agent" for name in handshake.headers)
        return await connect(
            handshake.url,
            additional_headers=dict(handshake.headers),
            subprotocols=[Subprotocol(name) for name in handshake.subprotocols] or None,
            user_agent_header=None if names_agent else "hyperscale",
            proxy=options.proxy or None,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=handshake.timeout_seconds,
            max_size=_MAX_MESSAGE_BYTES,
            **encryption,
        )


class OpenWebSocket:
    """A session under way."""

    def __init__(self, connection: ClientConnection, call: Call, timeout_seconds: float) -> None:
        self._connection = connection
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._last = b""

    @property
    def subprotocol(self) -> str | None:
        """See `hyperscale.workload.WebSocket`."""
        return self._connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        """See `hyperscale.workload.WebSocket`."""
        with _translating(self._call):
            async with asyncio.timeout(self._timeout_seconds):
                await self._connection.send(message)
        self._call.count("ws_msgs_sent")
        self._call.sent(len(message.encode() if isinstance(message, str) else message))

    async def receive(self, *, timeout_seconds: float | None = None) -> str | bytes:
        """See `hyperscale.workload.WebSocket`."""
        with _translating(self._call):
            async with asyncio.timeout(self._timeout_seconds if timeout_seconds is None else timeout_seconds):
                message = await self._connection.recv()
        self._note(message.encode() if isinstance(message, str) else message)
        return message

    async def receive_bytes(self) -> bytes:
        """A message as it came over the wire; the caller sets the time limit."""
        message = await self._connection.recv(decode=False)
        self._note(message)
        return message

    def reply(self) -> CallReply:
        """What came back of the session, which has ended."""
        response = self._connection.response
        return (
            _reply(response, self._call, self._last) if response is not None else CallReply(self._call.duration_seconds)
        )

    def _note(self, message: bytes) -> None:
        self._last = message
        self._call.count("ws_msgs_received")
        self._call.received(len(message))


async def _act(opened: OpenWebSocket, action: str | bytes | Awaited) -> None:
    if not isinstance(action, Awaited):
        await opened.send(action)
        return
    missing = action.count
    while missing:
        missing -= action.matches(await opened.receive_bytes())


def _compile(step: workflow_pb2.Step, target: str) -> _Session:
    declared = step.websocket
    return _Session(
        step=step,
        handshake=_Handshake(
            url=websocket_url(target, declared.url),
            headers=declared.headers,
            subprotocols=declared.subprotocols,
            timeout_seconds=session_timeout_seconds(declared),
        ),
        actions=tuple(_compile_action(action) for action in declared.actions),
    )


def _compile_action(action: workflow_pb2.WebSocketAction) -> str | bytes | Awaited:
    match action.WhichOneof("action"):
        case "send_text":
            return action.send_text
        case "send_binary":
            return action.send_binary
        case _:
            return compile_expectation(action.expect)


def _class_of(error: Exception) -> pb.ErrorClass.ValueType:
    match error:
        case InvalidStatus():
            return pb.ERROR_CLASS_STATUS
        case ProxyError() | InvalidProxy():
            return pb.ERROR_CLASS_PROXY
        case InvalidMessage(__cause__=EOFError() | ConnectionError()):
            return pb.ERROR_CLASS_RESET
        case ConnectionClosed():
            complained = error.sent is not None and error.sent.code in _OWN_COMPLAINTS and not error.rcvd_then_sent
            return pb.ERROR_CLASS_PROTOCOL if complained else pb.ERROR_CLASS_RESET
        case WebSocketException():
            return pb.ERROR_CLASS_PROTOCOL
        case _:
            return error_class_of(error)


@contextmanager
def _translating(call: Call) -> Iterator[None]:
    """What the library raises becomes the CallError of a call."""
    try:
        yield
    except InvalidStatus as error:
        raise CallError(
            _class_of(error), str(error), _reply(error.response, call, bytes(error.response.body or b""))
        ) from error
    except (WebSocketException, OSError, EOFError) as error:
        raise CallError(_class_of(error), str(error)) from error


def _reply(response: Response, call: Call, body: bytes) -> CallReply:
    fields = tuple(
        (name.lower().encode(), value.encode("latin-1", errors="replace"))
        for name, value in response.headers.raw_items()
    )
    return CallReply(call.duration_seconds, body, response.status_code, fields)


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * _MS_PER_SECOND
