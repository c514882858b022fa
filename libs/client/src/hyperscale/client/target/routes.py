"""What the target answers: small bodies, known statuses, chosen delays; always the same for the same request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

STATS_PATH: Final = "/__stats"
MAX_DELAY_MS: Final = 60_000
_BODILESS_STATUSES: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as far as a route needs it."""

    method: str
    path: str
    body: bytes
    authorization: str = ""
    """Value of the header field."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One response."""

    status: int
    body: bytes
    delay_seconds: float = 0.0

    def encode(self, *, is_head: bool, keep_alive: bool) -> bytes:
        """Status line, header and, unless the request was HEAD, body."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", "Content-Type: application/json"]
        if self.status not in _BODILESS_STATUSES:
            lines.append(f"Content-Length: {len(self.body)}")
        if not keep_alive:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if is_head or self.status in _BODILESS_STATUSES else head + self.body


def reply_to(request: Request) -> Reply:
    """The reply; 404 where there is no route, 405 where it takes other methods."""
    path = request.path.partition("?")[0]
    for pattern, methods, make in _ROUTES:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        return make(request, found[found.lastindex or 0]) if request.method in methods else _error(405)
    return _error(404)


def _home(_: Request, __: str) -> Reply:
    return _json({"service": "hyperscale target"})


def _items(_: Request, __: str) -> Reply:
    return _json({"items": [{"id": number, "name": f"item {number}"} for number in range(10)]})


def _item(_: Request, number: str) -> Reply:
    return _json({"id": int(number), "name": f"item {number}"})


def _login(request: Request, _: str) -> Reply:
    return _json({"token": f"token-{len(request.body)}{_user_suffix(request.body)}"})


def _user_suffix(body: bytes) -> str:
    """The user who logs in, if the body is JSON that names one."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    user = content.get("user") if isinstance(content, dict) else None
    return f".{user}" if isinstance(user, str) and _USER.fullmatch(user) else ""


def _me(request: Request, _: str) -> Reply:
    token = _TOKEN.fullmatch(request.authorization)
    return _error(401) if token is None else _json({"user": token[1]})


def _echo(request: Request, _: str) -> Reply:
    return Reply(200, request.body)


def _delay(_: Request, milliseconds: str) -> Reply:
    delay_ms = int(milliseconds)
    if delay_ms > MAX_DELAY_MS:
        return _error(400)
    return Reply(200, json.dumps({"delayed_ms": delay_ms}).encode(), delay_ms / 1000)


def _status(_: Request, code: str) -> Reply:
    return Reply(int(code), json.dumps({"status": int(code)}).encode())


def _json(content: object) -> Reply:
    return Reply(200, json.dumps(content).encode())


def _error(status: int) -> Reply:
    return Reply(status, json.dumps({"error": _phrase(status)}).encode())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


_USER: Final = re.compile(r"[\w.@-]{1,64}", re.ASCII)
_TOKEN: Final = re.compile(rf"Bearer token-\d+(?:\.({_USER.pattern}))?", re.ASCII)
_READ: Final = frozenset({"GET", "HEAD"})
_WRITE: Final = frozenset({"POST", "PUT", "PATCH"})
_ANY: Final = _READ | _WRITE | {"DELETE", "OPTIONS"}
_ROUTES: Final[tuple[tuple[re.Pattern[str], frozenset[str], Callable[[Request, str], Reply]], ...]] = (
    (re.compile(r"/"), _READ, _home),
    (re.compile(r"/items"), _READ, _items),
    (re.compile(r"/items/(\d{1,18})"), _ANY, _item),
    (re.compile(r"/login"), _WRITE, _login),
    (re.compile(r"/me"), _READ, _me),
    (re.compile(r"/echo"), _WRITE, _echo),
    (re.compile(r"/delay/(\d{1,9})"), _ANY, _delay),
    (re.compile(r"/status/([2-5]\d\d)"), _ANY, _status),
)
