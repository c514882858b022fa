"""Where a response ends, from its bytes alone (RFC 9112, section 6.3); opens no socket and reads no clock.

`feed` takes what arrived and says whether the response is whole; `finish` takes the end of the stream. A framing serves
one response after the other on a connection. What does not fit raises MalformedResponseError, after which the connection
is of no use. `PromptFraming` is there for speed only: it gives way to `PatientFraming` at the first unusual response.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from hyperscale.worker.engine.errors import MalformedResponseError

MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_FIRST_FINAL_STATUS: Final = 200
_USUAL_MARKS: Final = [False, True]


class PromptFraming:
    """Recognises the usual response, in two calls: one that arrives in one piece and leaves the connection open.

    The parser's callbacks leave one mark where a response begins and one where it ends; whatever does not leave exactly
    these two is for `PatientFraming`, from its first byte, and this framing is of no use after it.
    """

    __slots__ = ("_feed", "_marks", "_parser", "on_message_begin")

    def __init__(self) -> None:
        self._marks: list[bool] = []
        # A partial of a C function: the parser calls it without entering a Python frame.
        self.on_message_begin = partial(self._marks.append, False)
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def status_of(self, data: bytes) -> int:
        """Status of the usual response; 0 when this is not one."""
        marks = self._marks
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade):
            return 0
        if marks != _USUAL_MARKS:
            return 0
        marks.clear()
        status = self._parser.get_status_code()
        return status if status >= _FIRST_FINAL_STATUS else 0

    def on_message_complete(self) -> None:
        """Called by the parser with the last byte of a response."""
        self._marks.append(self._parser.should_keep_alive())


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
