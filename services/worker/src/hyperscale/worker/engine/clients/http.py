"""HTTP of coroutine users: the connections of callback users, with a future per request to wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Final, Unpack

from httptools import HttpResponseParser

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.browsing import Browsing, RedirectError
from hyperscale.worker.engine.clients.protocol import CallError, Measurement
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.decoding import decode_body
from hyperscale.worker.engine.models.http import Answer, ConnectPhases
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.models.reply import CallReply, HeaderFields
from hyperscale.worker.engine.plan import encode_step
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.http_validation import SHARED_HTTP_2_FAULT
from hyperscale.workload.language.http import HttpResponse, RequestOptions

_METHODS: Final = {
    name.removeprefix("HTTP_METHOD_"): number
    for name, number in workflow_pb2.HttpMethod.items()
    if number != workflow_pb2.HTTP_METHOD_UNSPECIFIED
}
_VERSIONS: Final = {"1.1": workflow_pb2.HTTP_VERSION_HTTP_1_1, "2": workflow_pb2.HTTP_VERSION_HTTP_2}
_MOST_KNOWN_REQUESTS: Final = 1000
_NANOS: Final = 1_000_000_000


class RequestBook:
    """Encodes requests; plain ones once for all users of a run."""

    def __init__(self, parts: RunParts, target: str) -> None:
        self._stage = parts
        self._target = target
        self._known: dict[tuple[int, str, str], EncodedStep] = {}

    def plain(self, step_index: int, method: str, url: str) -> EncodedStep:
        """A request without header fields, body or other wishes of its own. Raises ValueError when it cannot be sent."""
        key = (step_index, method, url)
        known = self._known.get(key)
        if known is None:
            known = self.encode(step_index, method, url, {})
            if len(self._known) < _MOST_KNOWN_REQUESTS:
                self._known[key] = known
        return known

    def encode(self, step_index: int, method: str, url: str, options: RequestOptions) -> EncodedStep:
        """Any request. Raises ValueError when it cannot be sent."""
        if method not in _METHODS:
            raise ValueError(f"method {method!r} is not known; there are {', '.join(_METHODS)}")
        http = workflow_pb2.HttpRequest(
            method=workflow_pb2.HttpMethod.ValueType(_METHODS[method]),
            url=url,
            headers=_headers(options),
            binary=_body(options),
            expected_statuses=options.get("expected_statuses", ()),
        )
        if "http_version" in options:
            http.version = self._version(options["http_version"])
        seconds = options.get("timeout_seconds")
        if seconds is not None:
            http.timeout.FromNanoseconds(int(seconds * _NANOS))
        step = workflow_pb2.Step(name=self._stage.plan.client_steps[step_index], http=http)
        encoded = encode_step(step_index, step, self._target, self._stage.connectors.index_of)
        return replace(encoded, keeps_body=True)

    def _version(self, http_version: str) -> workflow_pb2.HttpVersion.ValueType:
        if http_version not in _VERSIONS:
            raise ValueError(f"http_version {http_version!r} is not known; there are {', '.join(_VERSIONS)}")
        if http_version == "2" and self._stage.connectors.network.max_connections:
            raise ValueError(f"http_version {SHARED_HTTP_2_FAULT}")
        return _VERSIONS[http_version]


def _headers(options: RequestOptions) -> Mapping[str, str]:
    headers = options.get("headers") or {}
    if options.get("json") is None or any(name.lower() == "content-type" for name in headers):
        return headers
    return {**headers, "Content-Type": "application/json"}


def _body(options: RequestOptions) -> bytes:
    content, data = options.get("json"), options.get("data")
    if content is not None and data is not None:
        raise ValueError("a request has json or data, not both")
    if content is not None:
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return data.encode() if isinstance(data, str) else data or b""


class UserHttp:
    """The HTTP client of one user; requests that it starts at the same time run one after the other."""

    def __init__(self, parts: RunParts, book: RequestBook, measurement: Measurement) -> None:
        self.step_index = 0
        """Step that the user is in."""
        self.connections: dict[int, HttpConnection] = {}
        """By origin."""
        self.browsing: Browsing | None = None
        """None as long as there is nothing to remember."""
        self.parts = parts
        self.measurement = measurement
        self._book = book
        self._under_way: Exchange | None = None

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """See `hyperscale.workload.HttpClient`."""
        return self._send(method.upper(), url, options)

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with GET."""
        return self._send("GET", url, options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with HEAD."""
        return self._send("HEAD", url, options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with POST."""
        return self._send("POST", url, options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with PUT."""
        return self._send("PUT", url, options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with PATCH."""
        return self._send("PATCH", url, options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with DELETE."""
        return self._send("DELETE", url, options)

    def _send(self, method: str, url: str, options: RequestOptions) -> Awaitable[HttpResponse]:
        book, index = self._book, self.step_index
        request = book.encode(index, method, url, options) if options else book.plain(index, method, url)
        return self.perform(Exchange(self, request))

    async def perform(self, exchange: Exchange) -> HttpResponse:
        """See to it that a request gets its response. Raises CallError, already counted."""
        while self._under_way is not None:
            await asyncio.wait({self._under_way.response})
        self._under_way = exchange
        try:
            exchange.begin(self.measurement.take_due())
            return await exchange.response
        except asyncio.CancelledError:
            exchange.interrupt()
            raise
        finally:
            self._under_way = None

    def browse(self) -> Browsing:
        """What the user remembers, from now on."""
        self.browsing = self.browsing or Browsing(self.parts.connectors)
        return self.browsing

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections.values():
            connection.close()


class Exchange:
    """One request on its way, through redirects, to its response."""

    __slots__ = ("_connection", "_due", "_first", "_request", "_user", "ended", "message", "response")

    def __init__(self, user: UserHttp, request: EncodedStep) -> None:
        self.response: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.message: RawMessage | AnswerMessage | None = None
        """What came back; None when it was not whole."""
        self.ended = 0.0
        """When that was whole."""
        self._user = user
        self._first = request
        self._request = request
        self._due: float | None = None
        self._connection: HttpConnection | None = None

    def begin(self, due: float | None) -> None:
        """Send the request. `due`: from when it counts, in the open model; None: from when it is sent."""
        self._due = due
        self.send(self._first, perf_counter())

    def send(self, request: EncodedStep, now: float) -> None:
        """Send it, or what follows from a redirect, as soon as there is a connection."""
        user = self._user
        request = request if user.browsing is None else user.browsing.dress(request)
        self._request = request
        connection = user.connections.get(request.origin_index)
        if connection is not None and connection.is_usable:
            self._connection = connection
            connection.serve(self)
            connection.send(request, now if self._due is None else self._due)
        else:
            user.parts.connectors.by_index[request.origin_index].want(self, request)

    def interrupt(self) -> None:
        """Nobody waits for the response any more."""
        if self._connection is not None:
            self._connection.interrupt()

    def on_connected(self, connection: HttpConnection, phases: ConnectPhases) -> None:
        """The connection is open."""
        if self.response.done():
            connection.close()
            return
        user = self._user
        user.parts.recorder.connected(self._first, phases)
        user.connections[self._request.origin_index] = self._connection = connection
        if connection.is_usable:
            connection.send(self._request, perf_counter() if self._due is None else self._due)
        else:
            self.on_failure(pb.ERROR_CLASS_RESET, 0, 0)

    def on_connect_failed(self, error_class: pb.ErrorClass.ValueType, blocked_seconds: float) -> None:
        """There will be no connection."""
        if not self.response.done():
            parts = self._user.parts
            parts.recorder.connected(self._first, ConnectPhases(blocked_seconds, 0.0, None))
            address = parts.connectors.blamed_address(self._request.origin_index, error_class)
            parts.recorder.unreachable(address, error_class)
            self.on_failure(error_class, 0, 0)

    def on_response(self, status: int, started: float, ended: float, received_bytes: int) -> None:
        """A whole response came back in one piece; its bytes are those that its framing knows."""
        user, request = self._user, self._request
        user.parts.recorder.answered_promptly(request, started, ended, received_bytes)
        known = user.parts.connectors.prompts[request.index].known_response
        self._finish(status, RawMessage(known), started, ended)

    def on_answer(self, answer: Answer) -> None:
        """A whole response came back in any other way."""
        user = self._user
        user.parts.recorder.answered(self._first, answer)
        if user.parts.connectors.network.keeps_cookies and answer.values_of(b"set-cookie"):
            user.browse().learn(answer)
        location = answer.redirect_location
        if location is not None and self._first.max_redirects:
            self._follow(answer, location)
        else:
            self._finish(answer.status, AnswerMessage(answer), answer.started, answer.ended)

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        """No whole response will come back."""
        self._user.parts.recorder.failure(self._first, error_class, sent_bytes, received_bytes)
        self._reject(error_class, "no whole response")

    def _follow(self, answer: Answer, location: bytes) -> None:
        user = self._user
        self._share()
        self._due = None
        try:
            hop = user.browse().follow(answer, location, self._first)
        except RedirectError as error:
            user.parts.recorder.rejected(self._first, pb.ERROR_CLASS_REDIRECT, answer.ended)
            reply = CallReply(answer.duration_seconds, answer.body, answer.status, answer.fields)
            self._reject(pb.ERROR_CLASS_REDIRECT, str(error), reply)
        else:
            self.send(hop, answer.ended)

    def _finish(self, status: int, message: RawMessage | AnswerMessage, started: float, ended: float) -> None:
        self._share()
        self._arrive()
        is_expected = status in self._first.expected_statuses
        if not is_expected:
            self._user.parts.recorder.unexpected_status(self._first, ended)
        self.message, self.ended = message, ended
        if not self.response.done():
            self.response.set_result(HttpResponse(status, message, ended - started, expected=is_expected))

    def _reject(self, error_class: pb.ErrorClass.ValueType, text: str, reply: CallReply | None = None) -> None:
        self._connection = None
        self._arrive()
        if not self.response.done():
            self.response.set_exception(CallError(error_class, text, reply))

    def _arrive(self) -> None:
        if self._user.browsing is not None:
            self._user.browsing.arrive()

    def _share(self) -> None:
        """Leave the connection to others, where they are limited."""
        connection, index = self._connection, self._request.origin_index
        self._connection = None
        if connection is not None and self._user.parts.connectors.network.max_connections:
            del self._user.connections[index]
            self._user.parts.connectors.by_index[index].give_back(connection)


class RawMessage:
    """A response as its bytes; taken apart when somebody looks."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def fields(self) -> HeaderFields:
        """Header fields, names in lower case."""
        return tuple(self._parsed.fields)

    @cached_property
    def content(self) -> bytes:
        """The body without its content coding. Raises ValueError when it cannot be decoded."""
        return _decoded(self.fields, self.body)

    @property
    def body(self) -> bytes:
        """As it came, content codings included."""
        return b"".join(self._parsed.body)

    @cached_property
    def _parsed(self) -> _Collector:
        collector = _Collector([], [])
        HttpResponseParser(collector).feed_data(self._data)
        return collector


class AnswerMessage:
    """A response that was taken apart already."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def fields(self) -> HeaderFields:
        """Header fields, names in lower case."""
        return self._answer.fields

    @cached_property
    def content(self) -> bytes:
        """The body without its content coding. Raises ValueError when it cannot be decoded."""
        return _decoded(self._answer.fields, self._answer.body)

    @property
    def body(self) -> bytes:
        """As it came, content codings included."""
        return self._answer.body


@dataclass(frozen=True, slots=True)
class _Collector:
    fields: list[tuple[bytes, bytes]]
    body: list[bytes]

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)


def _decoded(fields: HeaderFields, body: bytes) -> bytes:
    codings = [value.decode("latin-1") for name, value in fields if name == b"content-encoding"]
    return decode_body(", ".join(codings), body) if codings else body
