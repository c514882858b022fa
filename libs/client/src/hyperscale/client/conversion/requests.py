"""Says one captured request as the ``http`` of a step."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from hyperscale.client.models.captures import CapturedRequest
from hyperscale.v1.workflow_pb2 import HttpMethod
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.http_validation import ENGINE_HEADERS, HTTP_1_HEADERS
from hyperscale.workload.limits import MAX_HEADERS
from hyperscale.workload.urls import FIELD_NAME, url_fault

_METHODS: Final = frozenset(name.removeprefix("HTTP_METHOD_") for name in HttpMethod.keys()[1:])
_OF_CONNECTION: Final = ENGINE_HEADERS | HTTP_1_HEADERS | {"http2-settings", "expect"}
"""Header fields that speak of one connection, which is not the one that the engine has."""
_PRINTABLE: Final = re.compile(r"[\t\x20-\x7e]*")
_JSON_TYPE: Final = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)
_URL_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]~-._"
_OPENING: Final = "{{"
_OPENING_TEMPLATE: Final = "{{'{{' | raw}}"
_EXACT_INTEGERS: Final = 2**53
_MAX_DEPTH: Final = 32
"""Deepest nesting of a body that is written as JSON; deeper ones stay text, which has no limit."""


def http_of(request: CapturedRequest, notes: FaultCollector) -> dict[str, Any] | None:
    """Fields of the request with an absolute URL; None when there is no such request. What is lost goes to `notes`."""
    method = request.method.upper()
    if method not in _METHODS:
        notes.add(request.where, f"left out: there is no method {request.method[:40]!r}")
        return None
    try:
        url, credentials = _plain_url(request.url)
    except ValueError as error:
        notes.add(request.where, f"left out: {request.url[:80]!r} is not a URL: {error}")
        return None
    fault = url_fault(url)
    if fault is not None:
        notes.add(request.where, f"left out: {url[:80]!r} {fault}")
        return None
    headers = _headers(request, urlsplit(url).netloc, notes)
    if credentials and "authorization" not in map(str.lower, headers):
        headers["Authorization"] = credentials
    body = _body(request, headers, notes)
    fields: dict[str, Any] = {"url": url} if method == "GET" else {"method": method.lower(), "url": url}
    return fields | ({"headers": headers} if headers else {}) | body | dict(request.options)


def _plain_url(url: str) -> tuple[str, str]:
    """A URL that can be sent, and the value of the Authorization field that stands for the credentials in it."""
    parts = urlsplit(url.strip())
    userinfo, _, location = parts.netloc.rpartition("@")
    host = location if location.isascii() else location.encode("idna").decode()
    path = quote(parts.path or "/", safe=_URL_CHARACTERS)
    query = f"?{quote(parts.query, safe=_URL_CHARACTERS)}" if parts.query else ""
    token = base64.b64encode(unquote(userinfo).encode()).decode()
    return f"{parts.scheme}://{host}{path}{query}", f"Basic {token}" if userinfo else ""


def _headers(request: CapturedRequest, host: str, notes: FaultCollector) -> dict[str, str]:
    names: dict[str, str] = {}
    headers: dict[str, str] = {}
    for name, value in request.headers:
        lower = name.lower()
        if lower == "host" and value.lower() != host.lower():
            notes.add(request.where, f"the header Host cannot be represented: {value[:80]!r}")
        if lower in _OF_CONNECTION or lower.startswith(":"):
            continue
        if not FIELD_NAME.fullmatch(name) or not _PRINTABLE.fullmatch(value):
            notes.add(request.where, f"the header {name[:80]!r} is left out: it must be printable ASCII")
            continue
        if lower not in names and len(names) == MAX_HEADERS:
            notes.add(request.where, f"the header {name[:80]!r} is left out: at most {MAX_HEADERS} are possible")
            continue
        key, literal = names.setdefault(lower, name), _literal(value)
        headers[key] = f"{headers[key]}{'; ' if lower == 'cookie' else ', '}{literal}" if key in headers else literal
    return headers


def _body(request: CapturedRequest, headers: dict[str, str], notes: FaultCollector) -> dict[str, Any]:
    """The field of the body; a Content-Type that goes without saying is taken out of `headers`."""
    text = request.body
    if text is None:
        return {}
    try:
        text.encode()
    except UnicodeEncodeError:
        notes.add(request.where, "the body is left out: it is not Unicode text")
        return {}
    name = next((name for name in headers if name.lower() == "content-type"), None)
    if name is None or not _JSON_TYPE.match(headers[name]):
        return {"text": _literal(text)}
    try:
        content = _literal_json(json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse), _MAX_DEPTH)
    except (ValueError, RecursionError):
        # Whatever it is, it was sent as it is.
        return {"text": _literal(text)}
    if headers[name].lower() == "application/json":
        del headers[name]
    return {"json": content}


def _literal(text: str) -> str:
    """The text with everything in it meant literally, as templates have it."""
    return text.replace(_OPENING, _OPENING_TEMPLATE)


def _literal_json(content: Any, depth: int) -> Any:
    """As `_literal`, for every text within; ValueError for what a job file would change."""
    if not depth:
        raise ValueError("too deep")
    match content:
        case dict():
            return {key: _literal_json(value, depth - 1) for key, value in content.items()}
        case list():
            return [_literal_json(value, depth - 1) for value in content]
        case str():
            content.encode()
            return _literal(content)
        case int() if abs(content) > _EXACT_INTEGERS:
            raise ValueError("not exact as a double")
        case float() if not math.isfinite(content):
            raise ValueError("no double")
        case _:
            return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs) or not all(key.isprintable() for key in fields):
        raise ValueError("a key is given twice, or cannot be one of a job file")
    return fields


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
