"""Changes to a request that is encoded already: redirects, cookies. They are rare, so that the usual request has no other form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.targets import authority_of, base_url, origin_of, request_target

_HEAD_END: Final = b"\r\n\r\n"
_METHOD_KEEPING: Final = frozenset({307, 308})
_SAFE_METHODS: Final = frozenset({b"GET", b"HEAD"})
_BODY_FIELDS: Final = frozenset(
    {b"content-length", b"content-type", b"content-encoding", b"content-language", b"transfer-encoding"}
)
_CREDENTIAL_FIELDS: Final = frozenset({b"authorization", b"cookie"})


@dataclass(frozen=True, slots=True)
class RequestParts:
    """A request as it is written, taken apart."""

    method: bytes
    target: bytes
    fields: tuple[bytes, ...]
    """Lines of the header."""
    body: bytes

    @staticmethod
    def of(payload: bytes) -> RequestParts:
        """Take apart what the plan has encoded."""
        head, _, body = payload.partition(_HEAD_END)
        line, *fields = head.split(b"\r\n")
        method, target, _ = line.split(b" ", 2)
        return RequestParts(method, target, tuple(fields), body)

    def encode(self) -> bytes:
        """The request as it goes over the wire."""
        return b"\r\n".join([b"%s %s HTTP/1.1" % (self.method, self.target), *self.fields, b"", self.body])


@dataclass(frozen=True, slots=True)
class RedirectedRequest:
    """Where a redirect leads."""

    origin: Origin
    payload: bytes
    is_head: bool


def path_of(payload: bytes) -> str:
    """Path of a request, without its query; also of one to a proxy."""
    target = payload.split(b" ", 2)[1].decode("latin-1")
    return urlsplit(target).path or "/"


def redirected(payload: bytes, origin: Origin, status: int, location: bytes) -> RedirectedRequest:
    """The request that follows a redirect. Raises ValueError when none can go there."""
    parts = RequestParts.of(payload)
    here = urljoin(base_url(origin), parts.target.decode("latin-1"))
    url = urlsplit(urljoin(here, _text(location)))
    there = origin_of(url, speaks_http2=origin.speaks_http2)
    keeps_body = status in _METHOD_KEEPING or parts.method in _SAFE_METHODS
    method, body = (parts.method, parts.body) if keeps_body else (b"GET", b"")
    dropped = (
        {b"host", b"proxy-authorization"}
        | (set() if keeps_body else _BODY_FIELDS)
        | (set() if there == origin else _CREDENTIAL_FIELDS)
    )
    fields = [line for line in parts.fields if line.partition(b":")[0].lower() not in dropped]
    changed = RequestParts(
        method, request_target(url).encode(), (b"Host: " + authority_of(there).encode(), *fields), body
    )
    return RedirectedRequest(there, changed.encode(), is_head=method == b"HEAD")


def with_cookies(payload: bytes, cookies: str) -> bytes:
    """The request with cookies, after those that it has itself."""
    parts = RequestParts.of(payload)
    own = [line for line in parts.fields if line.lower().startswith(b"cookie:")]
    others = tuple(line for line in parts.fields if line not in own)
    pairs = [line.partition(b":")[2].strip() for line in own] + [cookies.encode("latin-1")]
    return RequestParts(parts.method, parts.target, (*others, b"Cookie: " + b"; ".join(pairs)), parts.body).encode()


def _text(location: bytes) -> str:
    """Servers write Latin-1 or UTF-8 where they should percent-encode."""
    try:
        return location.decode()
    except UnicodeDecodeError:
        return location.decode("latin-1")
