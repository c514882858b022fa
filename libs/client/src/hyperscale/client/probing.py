"""Sends one request to a URL, on a connection of its own, and measures its parts."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httptools

from hyperscale.client.models.probes import Probe
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.defaults import EXPECTED_STATUSES

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_READ_BYTES: Final = 65536
_FIRST_FINAL_STATUS: Final = 200


class _ProbeError(Exception):
    """A part of the request failed."""

    def __init__(self, error_class: pb.ErrorClass.ValueType, detail: str) -> None:
        self.error_class = error_class
        super().__init__(detail)


@dataclass(slots=True)
class _Progress:
    """How far a request has come; times in milliseconds."""

    status: int | None = None
    size_bytes: int = 0
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    started: float = field(default_factory=time.perf_counter)

    def probe(self, error_class: pb.ErrorClass.ValueType | None, error: str = "") -> Probe:
        """What it came to."""
        return Probe(
            _since(self.started),
            self.status,
            self.size_bytes,
            self.dns_ms,
            self.connect_ms,
            self.tls_ms,
            self.first_byte_ms,
            error_class,
            error,
        )


class _ResponseReader:
    """What the parser tells of one response; interim ones are passed over."""

    def __init__(self, progress: _Progress) -> None:
        self._progress = progress
        self._parser = httptools.HttpResponseParser(self)
        self._has_length = False
        self.is_complete = False

    def feed(self, data: bytes) -> None:
        """Take what was received. Raises _ProbeError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise _ProbeError(pb.ERROR_CLASS_PROTOCOL, "the server changes the protocol") from error
        except httptools.HttpParserError as error:
            raise _ProbeError(pb.ERROR_CLASS_PROTOCOL, f"no HTTP/1.1 response: {error}") from error

    def end(self) -> None:
        """Take that the server has closed. Raises _ProbeError."""
        if self._progress.status is None or self._has_length:
            raise _ProbeError(pb.ERROR_CLASS_RESET, "the server closed the connection before the response was whole")

    def on_header(self, name: bytes, _: bytes) -> None:
        """Note whether the end of the body can be told."""
        self._has_length = self._has_length or name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """Note the status."""
        status = self._parser.get_status_code()
        self._progress.status = status if status >= _FIRST_FINAL_STATUS else None

    def on_body(self, body: bytes) -> None:
        """Count a part of the body."""
        self._progress.size_bytes += len(body)

    def on_message_complete(self) -> None:
        """Note the end."""
        self.is_complete = self._progress.status is not None


async def probe_url(url: str, timeout_seconds: float) -> Probe:
    """Send one GET; failures are part of the answer.

    Parameters
    ----------
    url
        A valid http:// or https:// URL.
    timeout_seconds
        For everything together.
    """
    progress = _Progress()
    try:
        async with asyncio.timeout(timeout_seconds):
            await _exchange(url, progress)
    except TimeoutError:
        return progress.probe(pb.ERROR_CLASS_TIMEOUT, f"no whole response within {timeout_seconds:g}s")
    except _ProbeError as error:
        return progress.probe(error.error_class, str(error))
    if progress.status not in EXPECTED_STATUSES:
        return progress.probe(pb.ERROR_CLASS_STATUS, f"status {progress.status}")
    return progress.probe(None)


async def _exchange(url: str, progress: _Progress) -> None:
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: hyperscale-ping\r\nAccept: */*\r\n"
    async with _connected(url, progress) as (reader, writer):
        try:
            writer.write(f"{head}Connection: close\r\n\r\n".encode("ascii"))
            await writer.drain()
            await _read(reader, progress)
        except ssl.SSLError as error:
            raise _ProbeError(pb.ERROR_CLASS_TLS, _words(error)) from error
        except OSError as error:
            raise _ProbeError(pb.ERROR_CLASS_RESET, _words(error)) from error


async def _read(reader: asyncio.StreamReader, progress: _Progress) -> None:
    sent = time.perf_counter()
    response = _ResponseReader(progress)
    while not response.is_complete:
        data = await reader.read(_READ_BYTES)
        if progress.first_byte_ms is None and data:
            progress.first_byte_ms = _since(sent)
        if not data:
            response.end()
            return
        response.feed(data)


@asynccontextmanager
async def _connected(url: str, progress: _Progress) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = await _connect(host, parts.port or _DEFAULT_PORTS[parts.scheme], progress)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        if parts.scheme == "https":
            await _secure(writer, host, progress)
        yield reader, writer
    finally:
        # The answer is there, or there is none: nothing is left to be flushed.
        writer.transport.abort()


async def _connect(host: str, port: int, progress: _Progress) -> socket.socket:
    """A connection to the first address that takes one."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _ProbeError(pb.ERROR_CLASS_DNS, f"{host}: {_words(error)}") from error
    progress.dns_ms = _since(begun)
    begun = time.perf_counter()
    failure = _ProbeError(pb.ERROR_CLASS_DNS, f"{host} has no address")
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = _ProbeError(pb.ERROR_CLASS_CONNECT, _words(error))
        except asyncio.CancelledError:
            connection.close()
            raise
        else:
            progress.connect_ms = _since(begun)
            return connection
    raise failure


async def _secure(writer: asyncio.StreamWriter, host: str, progress: _Progress) -> None:
    begun = time.perf_counter()
    try:
        await writer.start_tls(ssl.create_default_context(), server_hostname=host)
    except (OSError, EOFError) as error:
        raise _ProbeError(pb.ERROR_CLASS_TLS, _words(error)) from error
    progress.tls_ms = _since(begun)


def _words(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
