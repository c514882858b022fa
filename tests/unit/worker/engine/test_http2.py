"""HTTP/2 without a socket: which frames the library gets to see, how requests are said, and what they have cost."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamReset
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame, SettingsFrame

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.http2_channel import Http2Channel
from hyperscale.worker.engine.http2_connection import Http2Connection
from hyperscale.worker.engine.http2_frames import MAX_FRAME_BYTES, MAX_IDLE_FRAMES, FrameGate
from hyperscale.worker.engine.http2_messages import Http2Request
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep, Origin

ORIGIN = Origin("shop.test", 443, tls=True, speaks_http2=True)
SETTINGS = SettingsFrame(0).serialize()
PING = PingFrame(0, b"12345678").serialize()
GET = b"GET /x?y HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: hyperscale\r\n\r\n"


def goaway(last: int) -> bytes:
    return GoAwayFrame(0, last_stream_id=last, additional_data=b"enough").serialize()


@pytest.mark.parametrize("size", [1, 2, 5, 9, 10, 1000])
def test_goaway_is_kept_from_the_library_however_it_arrives(size: int) -> None:
    data = DataFrame(1, b"x" * 100).serialize()
    received = SETTINGS + goaway(2**31 - 1) + PING + goaway(7) + data + goaway(9) + PING
    gate = FrameGate()
    pieces = [received[at : at + size] for at in range(0, len(received), size)]
    assert b"".join(gate.admit(piece) for piece in pieces) == SETTINGS + PING + data + PING
    assert gate.last_stream_id == 7


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        PING,
        SETTINGS + (MAX_FRAME_BYTES + 1).to_bytes(3, "big") + bytes(6),
        SETTINGS + b"\0\0\7\7" + bytes(12),
        SETTINGS + PING * MAX_IDLE_FRAMES,
    ],
)
def test_what_is_not_http2_is_told_at_once(received: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        FrameGate().admit(received)


def test_content_is_no_idleness() -> None:
    gate = FrameGate()
    gate.admit(SETTINGS + DataFrame(1, b"x").serialize() * (MAX_IDLE_FRAMES + 1))
    gate.begin_request()
    gate.admit(PING * MAX_IDLE_FRAMES)


def test_a_request_is_said_without_what_concerns_connections() -> None:
    payload = b"POST /a HTTP/1.1\r\nHost: shop.test:8443\r\nX-Kept: a: b \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    request = Http2Request.of(payload, ORIGIN)
    assert request.body == b"abc"
    assert request.fields == (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"shop.test:8443"),
        (b":path", b"/a"),
        (b"x-kept", b"a: b"),
    )


class Wire:
    """A transport that hands what is written to a server, and what that says back to the connection."""

    def __init__(self) -> None:
        self.server = H2Connection(H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.connection = Http2Connection(ORIGIN)
        self.written: list[bytes] = []
        self.sent_bytes = 0
        self.closing = False
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.sent_bytes += len(data)

    def set_write_buffer_limits(self, *, high: int, low: int) -> None:
        assert high > low == 0

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def heard(self) -> list[object]:
        """What the server makes of what was written since the last time."""
        data, self.written = b"".join(self.written), []
        return list(self.server.receive_data(data))

    def reply(self) -> int:
        """Let the connection have what the server has to say; returns how many bytes that was."""
        data = self.server.data_to_send()
        self.connection.data_received(data)
        return len(data)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.failures: list[tuple[int, int, int]] = []

    def on_response(self, *_: object) -> None:
        raise AssertionError

    def on_answer(self, answer: Answer) -> None:
        self.answers.append(answer)

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        self.failures.append((error_class, sent_bytes, received_bytes))


def step(payload: bytes = GET) -> EncodedStep:
    return EncodedStep(
        "s", 0, 0, payload, 60.0, range(200, 400), False, False, keeps_body=True, first_byte_timeout_seconds=60.0
    )


def test_requests_have_cost_what_went_over_the_wire() -> None:
    wire, listener = Wire(), Listener()
    channel = Http2Channel(wire.connection, listener)
    received_bytes = 0
    for number in (1, 3):
        channel.send(step(), 1.0)
        assert any(isinstance(event, RequestReceived) for event in wire.heard())
        wire.server.send_headers(number, [(":status", "200"), ("x-a", "b")])
        wire.server.send_data(number, b"hello", end_stream=True)
        received_bytes += wire.reply()
    assert [(answer.status, answer.body, answer.fields) for answer in listener.answers] == [
        (200, b"hello", ((b"x-a", b"b"),))
    ] * 2
    assert sum(answer.received_bytes for answer in listener.answers) == received_bytes
    # The acknowledgement of the server's settings, sent after the first response, is part of it.
    assert sum(answer.sent_bytes for answer in listener.answers) == wire.sent_bytes
    assert listener.answers[1].sent_bytes < listener.answers[0].sent_bytes


def test_a_body_is_sent_as_the_windows_of_the_peer_allow() -> None:
    wire, listener = Wire(), Listener()
    channel = Http2Channel(wire.connection, listener)
    body = b"x" * 200_000
    head = b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 200000\r\n\r\n"
    channel.send(step(head + body), 1.0)
    taken = 0
    for _ in range(10):
        pieces = [event for event in wire.heard() if isinstance(event, DataReceived)]
        taken += sum(len(event.data) for event in pieces)
        for event in pieces:
            wire.server.acknowledge_received_data(event.flow_controlled_length, 1)
        wire.reply()
    assert taken == len(body)
    wire.server.send_headers(1, [(":status", "204")], end_stream=True)
    wire.reply()
    (answer,) = listener.answers
    assert answer.started < answer.sent <= answer.first_byte


def test_a_request_that_takes_too_long_is_reset_and_a_silent_peer_left() -> None:
    wire, listener = Wire(), Listener()
    channel = Http2Channel(wire.connection, listener)
    channel.send(step(), 1.0)
    wire.heard()
    wire.reply()
    channel.expire(60.9)
    assert not listener.failures
    channel.expire(61.0)
    assert [failure[0] for failure in listener.failures] == [pb.ERROR_CLASS_TIMEOUT]
    assert any(isinstance(event, StreamReset) for event in wire.heard())
    assert channel.is_usable
    channel.send(step(), wire.connection.heard_at + 1)
    channel.expire(wire.connection.heard_at + 100)
    assert len(listener.failures) == 2
    assert wire.closing
    assert not channel.is_usable


def test_a_silent_peer_is_left_also_when_the_request_was_due_before_it_could_be_sent() -> None:
    wire, listener = Wire(), Listener()
    channel = Http2Channel(wire.connection, listener)
    wire.reply()
    channel.send(step(), wire.connection.heard_at - 1)
    channel.expire(wire.connection.heard_at + 100)
    assert [failure[0] for failure in listener.failures] == [pb.ERROR_CLASS_TIMEOUT]
    assert not channel.is_usable
