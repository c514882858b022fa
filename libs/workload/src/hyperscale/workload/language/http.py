"""HTTP as workflows use it: `self.http`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from email.message import Message
from functools import cached_property
from typing import Any, Literal, Protocol, TypedDict, Unpack


class ResponseMessage(Protocol):
    """What an engine has of a response."""

    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]:
        """Header fields, names in lower case."""
        ...

    @property
    def content(self) -> bytes:
        """The body without its content coding."""
        ...


class HttpResponse:
    """A whole response. A status of 400 or more is a response too; it is counted as failed unless it was expected."""

    def __init__(self, status: int, message: ResponseMessage, elapsed_seconds: float, *, expected: bool) -> None:
        self.status = status
        """Status code."""
        self.elapsed_seconds = elapsed_seconds
        """From the first byte sent to the last byte received."""
        self.expected = expected
        """Whether the status is one that counts as success."""
        self._message = message

    @property
    def content(self) -> bytes:
        """The body, without its content coding. Raises ValueError when it is not what its header says."""
        return self._message.content

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Header fields by their names in lower case; several of one name joined with commas."""
        joined: dict[str, str] = {}
        for name, value in self._message.fields:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            joined[key] = f"{joined[key]}, {text}" if key in joined else text
        return joined

    def text(self) -> str:
        """The body as text, in the charset that the header names, else UTF-8; what cannot be decoded is replaced."""
        described = Message()
        described["content-type"] = self.headers.get("content-type", "")
        try:
            return self.content.decode(described.get_content_charset("utf-8"), errors="replace")
        except LookupError:
            return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status}, {len(self.content)} bytes>"


class RequestOptions(TypedDict, total=False):
    """What can be said of a request beside its method and URL.

    Attributes
    ----------
    headers
        Header fields to add. Host, Content-Length, Connection and Transfer-Encoding are set by the engine.
    json
        Body, sent as compact JSON.
    data
        Body, sent as it is, a text as UTF-8.
    timeout_seconds
        From the first byte sent to the last byte received, and for connecting; default 60.
    expected_statuses
        Statuses that count as success; default: 200 to 399.
    http_version
        ``"2"`` for HTTP/2, by ALPN with https:// and prior knowledge with http://; default ``"1.1"``. A server that
        does not speak the one that is asked for fails the request.
    """

    headers: Mapping[str, str]
    json: Any
    data: str | bytes
    timeout_seconds: float
    expected_statuses: Sequence[int]
    http_version: Literal["1.1", "2"]


class HttpClient(Protocol):
    """Requests of one user, on connections that stay open, with the cookies the user was given.

    A URL is absolute, or a path that is appended to the job's target. Every call raises `RequestError` when there is no
    whole response.
    """

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """Send a request and read the whole response."""
        ...

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with GET."""
        ...

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with HEAD."""
        ...

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with POST."""
        ...

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with PUT."""
        ...

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with PATCH."""
        ...

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Awaitable[HttpResponse]:
        """`request` with DELETE."""
        ...
