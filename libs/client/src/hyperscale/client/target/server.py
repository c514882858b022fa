"""Serves the routes over HTTP/1.1 and counts requests; a connection that speaks HTTP/2 is handed over."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from hyperscale.client.target.routes import STATS_PATH, Reply, Request, reply_to

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
_MAX_QUEUED_REQUESTS: Final = 64
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0"
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class RequestCounter:
    """Requests received by all connections; those for the statistics are not counted."""

    requests: int = 0

    def reply(self, request: Request) -> Reply:
        """Count the request and answer it."""
        if request.path == STATS_PATH:
            return Reply(200, json.dumps({"requests": self.requests}).encode())
        self.requests += 1
        return reply_to(request)


TakeOver = Callable[[asyncio.Transport, bytes], None]
"""Takes a connection over, with what it has sent so far."""


@dataclass(frozen=True, slots=True)
class _Answer:
    data: bytes
    delay_seconds: float
    keep_alive: bool


class TargetConnection(asyncio.Protocol):
    """One connection; pipelined requests are answered in order."""

    def __init__(self, counter: RequestCounter, take_over: TakeOver) -> None:
        """`take_over`: for connections that speak HTTP/2."""
        self._counter = counter
        self._take_over = take_over
        self._parser = HttpRequestParser(self)
        self._answers: deque[_Answer] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._path = ""
        self._authorization = ""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if data.startswith(_HTTP2_PREFACE):
            self._take_over(self._transport, data)
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._path = ""
        self._authorization = ""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        """Called by the parser, once per piece."""
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with each field."""
        if name.lower() == b"authorization":
            self._authorization = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Called by the parser, once per piece. A body that is too long is a parser error."""
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            raise ValueError("body too long")

    def on_message_complete(self) -> None:
        """Called by the parser."""
        method = self._parser.get_method().decode()
        reply = self._counter.reply(Request(method, self._path, bytes(self._body), self._authorization))
        keep_alive = self._parser.should_keep_alive()
        data = reply.encode(is_head=method == "HEAD", keep_alive=keep_alive)
        self._answers.append(_Answer(data, reply.delay_seconds, keep_alive))
        if len(self._answers) > _MAX_QUEUED_REQUESTS:
            self._transport.pause_reading()
        if self._timer is None:
            self._answer()

    def _answer(self) -> None:
        """Write answers up to the first one that has to wait."""
        while self._answers and not self._transport.is_closing():
            answer = self._answers[0]
            if answer.delay_seconds:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(answer.delay_seconds, self._answer_delayed)
                return
            self._write_first()

    def _answer_delayed(self) -> None:
        self._timer = None
        self._write_first()
        self._transport.resume_reading()
        self._answer()

    def _write_first(self) -> None:
        answer = self._answers.popleft()
        self._transport.write(answer.data)
        if not answer.keep_alive:
            self._transport.close()
