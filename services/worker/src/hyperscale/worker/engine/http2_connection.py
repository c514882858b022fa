"""HTTP/2 over one transport: frames and flow control by the `h2` library, and what becomes of the requests on it.

Each request is a stream. A peer that says GOAWAY gets no further ones, and the transport is closed when those under way have
ended. What a request has cost in bytes is what went over the transport since another one ended, control frames included: so the
sums over all requests are what went over the wire.
"""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from typing import Final, Protocol, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.http2_frames import FrameGate
from hyperscale.worker.engine.http2_messages import Http2Request
from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.models.reply import HeaderFields
from hyperscale.worker.engine.response import MAX_HEAD_BYTES

_STREAM_WINDOW_BYTES: Final = 1024 * 1024
"""What a peer may send of one response before it hears from us. Nothing is kept for longer than it takes to look at it."""
_CONNECTION_WINDOW_BYTES: Final = 16 * 1024 * 1024
_DEFAULT_WINDOW_BYTES: Final = 65_535
_LARGEST_PIECE_BYTES: Final = 64 * 1024
"""Of a request's body, given to the transport at once."""
_PAUSE_BYTES: Final = 64 * 1024
"""In the transport's buffer, before no more of a body is put into it."""
_MOST_WAITING_BYTES: Final = 1024 * 1024
"""In the transport's buffer; only a peer that asks for answers, and does not read them, gets there."""

_SETTINGS: Final = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
}
_CONFIGURATION: Final = H2Configuration(
    client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)
"""What goes out was made here, and is in order."""


class Stream(Protocol):
    """What a request learns of its stream."""

    def on_interim(self, now: float) -> None:
        """There is an answer, but not the final one yet."""

    def on_head(self, fields: HeaderFields, now: float) -> None:
        """The header of the final response is there, `:status` included. May raise MalformedResponseError."""

    def on_body(self, piece: bytes) -> None:
        """A piece of the body is there."""

    def on_sent(self, now: float) -> None:
        """The system has all of a request that it could not take at once."""

    def on_end(self, now: float) -> None:
        """The response is whole."""

    def on_failure(self, error_class: pb.ErrorClass.ValueType) -> None:
        """The response will never be whole."""


class _Outgoing:
    """A request on its way."""

    __slots__ = ("stream", "unsent")

    def __init__(self, stream: Stream, body: bytes) -> None:
        self.stream = stream
        self.unsent = memoryview(body)


class Http2Connection(asyncio.Protocol):
    """The streams of one transport."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.is_usable = False
        """Whether a stream can be opened."""
        self.is_lost = False
        """Whether the transport is gone."""
        self.heard_at = 0.0
        """When the peer has sent anything last, as a reading of `perf_counter`."""
        self._library = H2Connection(_CONFIGURATION)
        self._gate = FrameGate()
        self._streams: dict[int, _Outgoing] = {}
        # Streams whose request the system did not take at once, and still does not have.
        self._late: set[int] = set()
        self._is_paused = False
        self._sent_bytes = 0
        self._received_bytes = 0

    def open_stream(self, stream: Stream, request: Http2Request) -> int | None:
        """Send a request; returns the number of its stream. None: the peer allows no more of them, nor will it."""
        library = self._library
        self._gate.begin_request()
        try:
            number = library.get_next_available_stream_id()
            library.send_headers(number, request.fields, end_stream=not request.body)
        except ProtocolError:
            self.retire()
            return None
        outgoing = self._streams[number] = _Outgoing(stream, request.body)
        self._flush()
        self._pump(number, outgoing)
        if self._is_paused or outgoing.unsent:
            self._late.add(number)
        return number

    def leave(self, number: int) -> tuple[int, int]:
        """Forget a stream, whole or not; returns the bytes sent and received that are to be counted for it."""
        if self._streams.pop(number, None) is not None:
            self._cancel(number)
        if not (self.is_usable or self._streams):
            self.abort()
        sent_bytes, self._sent_bytes = self._sent_bytes, 0
        received_bytes, self._received_bytes = self._received_bytes, 0
        return sent_bytes, received_bytes

    def retire(self) -> None:
        """Open no stream any more; close when there is none."""
        self.is_usable = False
        if not self._streams:
            self._transport.close()

    def distrust(self) -> None:
        """Open no stream any more: the peer seems to be dead."""
        self.is_usable = False

    def abort(self) -> None:
        """Close without writing what is buffered."""
        self.is_usable = False
        self._sent_bytes = max(0, self._sent_bytes - self._transport.get_write_buffer_size())
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop. What there is to say goes out with the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_PAUSE_BYTES, low=0)
        library = self._library
        # Not changed one by one: the library would wait for the peer to agree, and not tell it.
        library.local_settings = Settings(client=True, initial_values=_SETTINGS)
        library.initiate_connection()
        library.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self.is_usable = True

    def pause_writing(self) -> None:
        """Called by the loop: the system does not take what is written at once."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Called by the loop: the system has all that was written."""
        self._is_paused = False
        self._pump_late()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self.heard_at = now = perf_counter()
        self._received_bytes += len(data)
        try:
            events = self._library.receive_data(self._gate.admit(data))
            self.is_usable = self.is_usable and self._gate.last_stream_id is None
            for event in events:
                self._handle(event, now)
        except (ProtocolError, MalformedResponseError):
            self._fail_all(pb.ERROR_CLASS_PROTOCOL)
            return
        if self._gate.last_stream_id is not None:
            self._part(self._gate.last_stream_id)
        # After all of what came: a stream that takes more may be one that has ended.
        self._pump_late()
        self._flush()
        if self._transport.get_write_buffer_size() > _MOST_WAITING_BYTES:
            self._fail_all(pb.ERROR_CLASS_PROTOCOL)

    def eof_received(self) -> bool:
        """Called by the loop; the transport then closes itself."""
        self._fail_all(pb.ERROR_CLASS_RESET)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.is_lost = True
        self._fail_all(pb.ERROR_CLASS_TLS if isinstance(exc, ssl.SSLError) else pb.ERROR_CLASS_RESET)

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case ResponseReceived():
                self._on_head(event, now)
            case DataReceived():
                self._on_body(event)
            case StreamEnded():
                self._on_end(event, now)
            case StreamReset():
                self._on_reset(event)
            case InformationalResponseReceived():
                self._on_interim(event, now)
            case _:
                # The library has done all that there is to do.
                return

    def _on_interim(self, event: InformationalResponseReceived, now: float) -> None:
        if outgoing := self._streams.get(event.stream_id):
            outgoing.stream.on_interim(now)

    def _on_head(self, event: ResponseReceived, now: float) -> None:
        if outgoing := self._streams.get(event.stream_id):
            outgoing.stream.on_head(tuple((name, value) for name, value in event.headers), now)

    def _on_body(self, event: DataReceived) -> None:
        self._library.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if outgoing := self._streams.get(event.stream_id):
            outgoing.stream.on_body(event.data)

    def _on_end(self, event: StreamEnded, now: float) -> None:
        outgoing = self._streams.pop(event.stream_id, None)
        if outgoing is None:
            return
        if outgoing.unsent:
            # The peer answered before it had the whole request, and needs no more of it.
            self._cancel(event.stream_id)
        outgoing.stream.on_end(now)

    def _on_reset(self, event: StreamReset) -> None:
        if outgoing := self._streams.pop(event.stream_id, None):
            wants_http1 = event.error_code == ErrorCodes.HTTP_1_1_REQUIRED
            is_fault = wants_http1 or not event.remote_reset
            outgoing.stream.on_failure(pb.ERROR_CLASS_PROTOCOL if is_fault else pb.ERROR_CLASS_RESET)

    def _part(self, last_number: int) -> None:
        """The peer has said GOAWAY: what it has not taken has failed, the rest may still end."""
        for number in [number for number in self._streams if number > last_number]:
            self._streams.pop(number).stream.on_failure(pb.ERROR_CLASS_RESET)
        self.retire()

    def _pump_late(self) -> None:
        for number in list(self._late):
            outgoing = self._streams.get(number)
            if outgoing is not None:
                self._pump(number, outgoing)
                if outgoing.unsent or self._is_paused:
                    continue
                outgoing.stream.on_sent(perf_counter())
            self._late.discard(number)

    def _pump(self, number: int, outgoing: _Outgoing) -> None:
        """Send what the peer's windows and the transport take of a body."""
        library = self._library
        while outgoing.unsent and not self._is_paused:
            window_bytes = library.local_flow_control_window(number)
            size = min(window_bytes, library.max_outbound_frame_size, _LARGEST_PIECE_BYTES)
            if size <= 0:
                return
            piece, outgoing.unsent = outgoing.unsent[:size], outgoing.unsent[size:]
            library.send_data(number, piece, end_stream=not outgoing.unsent)
            self._flush()

    def _cancel(self, number: int) -> None:
        try:
            self._library.reset_stream(number, ErrorCodes.CANCEL)
        except ProtocolError:
            # The peer has closed it.
            return
        self._flush()

    def _flush(self) -> None:
        data = self._library.data_to_send()
        if data and not self._transport.is_closing():
            self._sent_bytes += len(data)
            self._transport.write(data)

    def _fail_all(self, error_class: pb.ErrorClass.ValueType) -> None:
        self.abort()
        failed, self._streams = self._streams, {}
        for outgoing in failed.values():
            outgoing.stream.on_failure(error_class)
