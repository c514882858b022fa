"""Where a response ends, from its bytes alone (RFC 9112, section 6.3); opens no socket and reads no clock.

`feed` takes what arrived and says whether the response is whole; `finish` takes the end of the stream. A framing serves
one response after the other on a connection. What does not fit raises MalformedResponseError, after which the connection
is of no use. `PromptFraming` is there for speed only: it gives way to `PatientFraming` at the first unusual response.
"""

from __future__ import annotations

from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from hyperscale.worker.engine.errors import MalformedResponseError

MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_FIRST_FINAL_STATUS: Final = 200
_USUAL_MARKS: Final = [False, True]


class PromptFraming:
    """Recognises the usual response: one that arrives in one piece and leaves the connection open.

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
        if not status:
            self._begin()
            return 0
        self._remember(data, status)
        return status

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
        return status if status >= _FIRST_FINAL_STATUS else 0

    def _remember(self, data: bytes, status: int) -> None:
        self.known_response, self.known_status = data, status
        head = data[: data.index(_HEAD_END) + len(_HEAD_END)]
        if b"transfer-encoding" in head.lower():
            self._known_head, self._known_bytes = b"", -1
        else:
            self._known_head, self._known_bytes = head, len(data)


class PatientFraming:
    """Responses of every kind, to every method but HEAD."""

    __slots__ = ("_begun", "_ended", "_head", "_parser", "keep_alive", "status")

    def __init__(self) -> None:
        self.status = 0
        self.keep_alive = False
        self._begun = 0
        self._ended = 0
        self._head = _ResponseHead()
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> bool:
        """Whether the response is whole now."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedResponseError(str(error)) from error
        if not self._ended:
            self._head.keep(data)
            return False
        if self._begun or self._ended > 1:
            raise MalformedResponseError("more came back than the response")
        self._ended = 0
        self._head = _ResponseHead()
        return True

    def finish(self) -> bool:
        """Whether the end of the stream makes the response whole: one that says nothing about its length."""
        if not self._head.lasts_until_close:
            return False
        self.status = self._head.status
        self.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Called by the parser with the first byte of a response."""
        self._begun += 1

    def on_message_complete(self) -> None:
        """Called by the parser with the last byte of a response, also of an interim one."""
        self._begun -= 1
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS and not self._ended:
            return
        self._ended += 1
        self.status = status
        self.keep_alive = self._parser.should_keep_alive()


class Framing(Protocol):
    """What a connection needs to know of a response."""

    status: int
    keep_alive: bool
    """Whether the connection can take another request."""

    def feed(self, data: bytes) -> bool:
        """Whether the response is whole now."""

    def finish(self) -> bool:
        """Whether the end of the stream makes the response whole."""


class HeadFraming:
    """Responses to HEAD: they end with their header, whatever length it announces."""

    __slots__ = ("_head", "_validator", "keep_alive", "status")

    def __init__(self) -> None:
        self.status = 0
        self.keep_alive = False
        self._head = _ResponseHead()
        self._validator = HttpResponseParser(_Ignore())

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
        self._head = _ResponseHead()
        self._validator = HttpResponseParser(_Ignore())
        return True

    def finish(self) -> bool:
        """The end of the stream never ends a header."""
        return False


class _ResponseHead:
    """Start line and header of the final response, kept from its bytes."""

    __slots__ = ("_buffer", "_fields", "_version", "is_whole", "status", "surplus_bytes")

    def __init__(self) -> None:
        self._buffer = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._version = ""
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
    def lasts_until_close(self) -> bool:
        """Whether nothing but the end of the stream ends the response."""
        return self.is_whole and not {b"content-length", b"transfer-encoding"} & {name for name, _ in self._fields}

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can take another request, if the body's length is known."""
        options = {
            option.strip().lower()
            for name, value in self._fields
            if name == b"connection"
            for option in value.split(b",")
        }
        return b"close" not in options if self._version == "1.1" else b"keep-alive" in options

    def _read(self, head: bytes) -> bool:
        """Whether this was the head of the final response."""
        collected = _Fields()
        parser = HttpResponseParser(collected)
        parser.feed_data(head)
        status = parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            return False
        self.status = status
        self._version = parser.get_http_version()
        self._fields = collected.fields
        return True


class _Ignore:
    """Parses to find faults only."""


class _Fields:
    """Collects header fields, names in lower case."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))
