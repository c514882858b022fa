"""WebSocket sessions, over the `websockets` library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.typing import Subprotocol

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.protocol import Call, CallError, ClientContext, error_class_of
from hyperscale.workload.defaults import session_timeout_seconds
from hyperscale.workload.patterns import compile_regex
from hyperscale.workload.urls import websocket_url

_PROTOCOL: Final = "ws"
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_MS_PER_SECOND: Final = 1000.0
_OWN_COMPLAINTS: Final = frozenset({1002, 1007, 1009})
"""Codes with which our side closes what it cannot take: bad frames, bad text, too long."""

Matches = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """Messages to wait for: so many that match."""

    count: int
    matches: Matches


@dataclass(frozen=True, slots=True)
class _Session:
    """A declared session, ready to be held."""

    url: str
    declared: workflow_pb2.WebSocketSession
    timeout_seconds: float
    actions: tuple[str | bytes | _Awaited, ...]


class WebSocketClient:
    """The sessions of one user, one after the other."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._sessions: dict[str, _Session] = {}

    async def run(self, step: workflow_pb2.Step) -> None:
        """Hold the session of a step. Raises CallError, already counted."""
        session = self._sessions.get(step.name)
        if session is None:
            session = self._sessions[step.name] = _compile(step.websocket, self._context.target)
        with self._context.measurement.call(_PROTOCOL) as call:
            try:
                async with asyncio.timeout(session.timeout_seconds):
                    await self._hold(session, call)
            except (WebSocketException, OSError, EOFError) as error:
                raise CallError(_class_of(error), str(error)) from error

    async def close(self) -> None:
        """Nothing is open between calls."""

    async def _hold(self, session: _Session, call: Call) -> None:
        started = perf_counter()
        connection = await self._open(session)
        call.record("ws_connecting", _ms_since(started))
        call.count("ws_sessions")
        try:
            for action in session.actions:
                await _act(connection, action, call)
            await connection.close()
        finally:
            call.record("ws_session_duration", _ms_since(started))
            # Whatever happened: nobody waits for the peer any more.
            connection.transport.abort()

    async def _open(self, session: _Session) -> ClientConnection:
        options = self._context.http_options
        encryption: dict[str, Any] = {}
        if session.url.lower().startswith("wss:"):
            encryption["ssl"] = self._context.tls
            if options.server_name:
                encryption["server_hostname"] = options.server_name
        return await connect(
            session.url,
            additional_headers=dict(session.declared.headers),
            subprotocols=[Subprotocol(name) for name in session.declared.subprotocols] or None,
            user_agent_header=None if _names_agent(session.declared) else "hyperscale",
            proxy=options.proxy or None,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=session.timeout_seconds,
            max_size=_MAX_MESSAGE_BYTES,
            **encryption,
        )


async def _act(connection: ClientConnection, action: str | bytes | _Awaited, call: Call) -> None:
    if not isinstance(action, _Awaited):
        await connection.send(action)
        call.count("ws_msgs_sent")
        call.sent(len(action.encode() if isinstance(action, str) else action))
        return
    missing = action.count
    while missing:
        message = await connection.recv(decode=False)
        call.count("ws_msgs_received")
        call.received(len(message))
        missing -= action.matches(message)


def _compile(declared: workflow_pb2.WebSocketSession, target: str) -> _Session:
    return _Session(
        url=websocket_url(target, declared.url),
        declared=declared,
        timeout_seconds=session_timeout_seconds(declared),
        actions=tuple(_compile_action(action) for action in declared.actions),
    )


def _compile_action(action: workflow_pb2.WebSocketAction) -> str | bytes | _Awaited:
    match action.WhichOneof("action"):
        case "send_text":
            return action.send_text
        case "send_binary":
            return action.send_binary
        case _:
            return _awaited(action.expect)


def _awaited(expectation: workflow_pb2.WebSocketExpectation) -> _Awaited:
    match expectation.WhichOneof("until"):
        case "contains":
            text = expectation.contains.encode()
            return _Awaited(1, lambda message: text in message)
        case "matches":
            regex = compile_regex(expectation.matches)
            return _Awaited(1, lambda message: regex.search(message) is not None)
        case _:
            return _Awaited(expectation.messages, lambda _: True)


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


def _names_agent(declared: workflow_pb2.WebSocketSession) -> bool:
    return any(name.lower() == "user-agent" for name in declared.headers)


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * _MS_PER_SECOND
