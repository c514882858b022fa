"""Where a response ends, from its bytes alone (RFC 9112, section 6.3); opens no socket and reads no clock.

`feed` takes what arrived and says whether the response is whole; `finish` takes the end of the stream. What does not fit
raises MalformedResponseError, after which the connection is of no use. `PromptFraming` is there for speed only: it gives way to `PatientFraming` at the first unusual response.
"""

from __future__ import annotations

from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.models.reply import HeaderFields

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""What is kept of a body for who has to look at it; the rest is read, and dropped."""
_HEAD_END: Final = b"\r\n\r\n"
_FIRST_FINAL_STATUS: Final = 200
_NOTABLE: Final = frozenset({301, 302, 303, 307, 308, 407})
"""Statuses that are not for the server's sake alone: redirects, and a proxy that wants credentials."""
_USUAL_MARKS: Final = [False, True]


class PromptFraming:
    """Recognises the usual response: one that arrives in one piece, leaves the connection open and asks for nothing more,
    neither to follow a redirect nor to keep a cookie.

    Between such responses there is no state, so that one object serves a step on all connections. The end of a response
    follows from its head, unless it is chunked: a response with the head of the one before needs no parser. Whatever is
    not usual is for `PatientFraming`, from its first byte.
    """

    __slots__ = ("_known_bytes", "_known_head", "_marks", "_parser", "known_response", "known_status")

    def __init__(self) -> None:
        # Where a response begins and ends the parser leaves marks: the usual ones are one of each.
        self._marks: list[bool] = []
        self.known_response = b""
        """The usual response as it came last: the same bytes are the same response, which a comparison tells at once."""
        self.known_status = 0
        self._known_head = b""
        self._known_bytes = -1
        self._begin()

    def status_of(self, data: bytes) -> int:
        """Status of the usual response; 0 when this is not one."""
        # A slice is compared sooner than startswith has looked at its arguments.
        if len(data) == self._known_bytes and data[: len(self._known_head)] == self._known_head:
            self.known_response = data
            return self.known_status
        status = self._parsed_status(data)
        if status and self._remember(data, status):
            return status
        self._begin()
        return 0

    def on_message_begin(self) -> None:
        """Called by the parser with the first byte of a response."""
        self._marks.append(False)

    def on_message_complete(self) -> None:
        """Called by the parser with the last byte of a response."""
        self._marks.append(self._parser.should_keep_alive())

    def _begin(self) -> None:
        self._marks.clear()
        self._parser = HttpResponseParser(self)

    def _parsed_status(self, data: bytes) -> int:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return 0
        if self._marks != _USUAL_MARKS:
            return 0
        self._marks.clear()
        status: int = self._parser.get_status_code()
        return status if status >= _FIRST_FINAL_STATUS and status not in _NOTABLE else 0

    def _remember(self, data: bytes, status: int) -> bool:
        """Keep the response for comparison; whether it is one that nobody has to look at."""
        end = data.find(_HEAD_END)
        head = data[: end + len(_HEAD_END)]
        lowered = head.lower()
        if end < 0 or b"set-cookie" in lowered:
            return False
        self.known_response, self.known_status = data, status
        if b"transfer-encoding" in lowered:
            self._known_head, self._known_bytes = b"", -1
        else:
            self._known_head, self._known_bytes = head, len(data)
        return True


class PatientFraming:
    """One response of any kind, to any method but HEAD."""

    __slots__ = (
        "_begun",
        "_body",
        "_body_bytes",
        "_ended",
        "_fields",
        "_head_bytes",
        "_is_head_whole",
        "_parser",
        "keep_alive",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.keep_alive = False
        self._begun = 0
        self._ended = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._is_head_whole = False
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._parser = HttpResponseParser(self)

    @staticmethod
    def keeping_body() -> PatientFraming:
        """One that keeps the body, up to `MAX_BODY_BYTES`."""
        framing = PatientFraming()
        framing._parser = HttpResponseParser(_BodyKeeper(framing))
        return framing

    @property
    def fields(self) -> HeaderFields:
        """Header fields of the final response."""
        return tuple(self._fields)

    @property
    def body(self) -> bytes:
        """What was kept of it."""
        return b"".join(self._body)

    def feed(self, data: bytes) -> bool:
        """Whether the response is whole now."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        if not self._ended:
            self._bound_head(data)
            return False
        if self._begun or self._ended > 1:
            raise MalformedResponseError("more came back than the response")
        return True

    def finish(self) -> bool:
        """Whether the end of the stream makes the response whole: one that says nothing about its length."""
        if not self._is_head_whole or {b"content-length", b"transfer-encoding"} & {name for name, _ in self._fields}:
            return False
        self.status = self._parser.get_status_code()
        self.keep_alive = False
        return self.status >= _FIRST_FINAL_STATUS

    def on_message_begin(self) -> None:
        """Called by the parser with the first byte of a response."""
        self._begun += 1
        if not self._ended:
            self._fields.clear()
            self._is_head_whole = False
            self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with each field of the header, and of the trailer, which does not matter to anybody."""
        if not self._is_head_whole:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser between header and body."""
        self._is_head_whole = True

    def on_message_complete(self) -> None:
        """Called by the parser with the last byte of a response, also of an interim one."""
        self._begun -= 1
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS and not self._ended:
            return
        self._ended += 1
        self.status = status
        self.keep_alive = self._parser.should_keep_alive()

    def take_body(self, piece: bytes) -> None:
        """A piece of the body, chunks without their frames."""
        missing_bytes = MAX_BODY_BYTES - self._body_bytes
        if missing_bytes > 0:
            self._body.append(piece[:missing_bytes])
            self._body_bytes += len(piece)

    def _bound_head(self, data: bytes) -> None:
        if self._is_head_whole:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise MalformedResponseError(f"the header is longer than {MAX_HEAD_BYTES} bytes")


class _BodyKeeper:
    """Passes on what the parser finds, the body besides."""

    def __init__(self, framing: PatientFraming) -> None:
        self.on_message_begin = framing.on_message_begin
        self.on_header = framing.on_header
        self.on_headers_complete = framing.on_headers_complete
        self.on_message_complete = framing.on_message_complete
        self.on_body = framing.take_body


class Framing(Protocol):
    """What a connection needs to know of a response."""

    status: int
    keep_alive: bool
    """Whether the connection can take another request."""

    @property
    def fields(self) -> HeaderFields:
        """Header fields of the final response."""

    @property
    def body(self) -> bytes:
        """What was kept of the body."""

    def feed(self, data: bytes) -> bool:
        """Whether the response is whole now."""

    def finish(self) -> bool:
        """Whether the end of the stream makes the response whole."""


class HeadFraming:
    """One response to HEAD: it ends with its header, whatever length that announces."""

    __slots__ = ("_head", "_validator", "keep_alive", "status")

    def __init__(self) -> None:
        self.status = 0
        self.keep_alive = False
        self._head = _ResponseHead()
        self._validator = HttpResponseParser(_Ignore())

    @property
    def fields(self) -> HeaderFields:
        """Header fields of the final response."""
        return tuple(self._head.fields)

    @property
    def body(self) -> bytes:
        """There is none."""
        return b""

    def feed(self, data: bytes) -> bool:
        """Whether the header is whole now."""
        try:
            self._validator.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        self._head.keep(data)
        if not self._head.is_whole:
            return False
        if self._head.surplus_bytes:
            raise MalformedResponseError("a response to HEAD has a body")
        self.status, self.keep_alive = self._head.status, self._head.keeps_alive
        return True

    def finish(self) -> bool:
        """The end of the stream never ends a header."""
        return False


class _ResponseHead:
    """Start line and header of the final response, kept from its bytes."""

    __slots__ = ("_buffer", "_version", "fields", "is_whole", "status", "surplus_bytes")

    def __init__(self) -> None:
        self._buffer = b""
        self._version = ""
        self.fields: list[tuple[bytes, bytes]] = []
        self.is_whole = False
        self.status = 0
        self.surplus_bytes = 0

    def keep(self, data: bytes) -> None:
        """Take bytes until the head is whole; interim responses are skipped."""
        if self.is_whole:
            return
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            end += len(_HEAD_END)
            head, self._buffer = self._buffer[:end], self._buffer[end:]
            if self._read(head):
                self.is_whole = True
                self.surplus_bytes = len(self._buffer)
                self._buffer = b""
                return
        if len(self._buffer) > MAX_HEAD_BYTES:
            raise MalformedResponseError(f"the header is longer than {MAX_HEAD_BYTES} bytes")

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can take another request, if the body's length is known."""
        options = {
            option.strip().lower()
            for name, value in self.fields
            if name == b"connection"
            for option in value.split(b",")
        }
        return b"close" not in options if self._version == "1.1" else b"keep-alive" in options

    def _read(self, head: bytes) -> bool:
        """Whether this was the head of the final response."""
        collected = _Fields()
        parser = HttpResponseParser(collected)
        try:
            parser.feed_data(head)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        status = parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            return False
        self.status = status
        self._version = parser.get_http_version()
        self.fields = collected.fields
        return True


class _Ignore:
    """Parses to find faults only."""


class _Fields:
    """Collects header fields, names in lower case."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))
