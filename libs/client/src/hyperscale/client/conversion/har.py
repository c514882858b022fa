"""Reads HAR: what a browser or a proxy has recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from hyperscale.client.conversion.errors import ConversionError
from hyperscale.client.conversion.forms import multipart_body
from hyperscale.client.models.captures import Capture, CapturedRequest
from hyperscale.workload.faults import Fault, FaultCollector

MAX_HAR_BYTES: Final = 64 * 1024 * 1024
"""Largest recording that is read; most of it is usually the content of responses, which are not needed."""

_MULTIPART: Final = "multipart/form-data"


def load_har(path: Path, notes: FaultCollector) -> Capture:
    """The requests of a recording; what cannot be said in a job file goes to `notes`. Raises ConversionError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_HAR_BYTES + 1)
    except OSError as error:
        raise ConversionError([Fault("", f"cannot be read: {error.strerror or error}")]) from error
    if len(content) > MAX_HAR_BYTES:
        raise ConversionError([Fault("", f"has more than {MAX_HAR_BYTES:,} bytes")])
    return read_har(content, notes)


def read_har(content: bytes, notes: FaultCollector) -> Capture:
    """As `load_har`, of the content of the file."""
    faults = FaultCollector()
    requests = [_request(f"entries[{index}]", entry, notes, faults) for index, entry in enumerate(_entries(content))]
    if faults.faults():
        raise ConversionError(faults.faults())
    return Capture(tuple(request for request in requests if request is not None))


def _entries(content: bytes) -> list[Any]:
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConversionError([Fault("", f"is not JSON: {str(error)[:200]}")]) from error
    log = document.get("log") if isinstance(document, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise ConversionError([Fault("log.entries", "is not there: this is no HAR file")])
    return entries


def _request(where: str, entry: object, notes: FaultCollector, faults: FaultCollector) -> CapturedRequest | None:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        faults.add(f"{where}.request", "must be an object")
        return None
    method, url = request.get("method"), request.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        faults.add(f"{where}.request", "must have a method and a url")
        return None
    headers = tuple(_pairs(request.get("headers")))
    post = request.get("postData")
    if not isinstance(post, dict):
        return CapturedRequest(where, method, url, headers)
    return _with_body(CapturedRequest(where, method, url, headers), post, notes)


def _with_body(request: CapturedRequest, post: Mapping[str, Any], notes: FaultCollector) -> CapturedRequest:
    kind, text = str(post.get("mimeType") or ""), post.get("text")
    parameters = post.get("params")
    if kind.startswith(_MULTIPART):
        return _with_multipart(request, kind, post, notes)
    if not isinstance(text, str):
        text = urlencode(list(_pairs(parameters)))
    if post.get("encoding") == "base64":
        notes.add(f"{request.where}.postData", "a binary body cannot be represented and is left out")
        text = ""
    return _dressed(request, kind, text or None)


def _with_multipart(
    request: CapturedRequest, kind: str, post: Mapping[str, Any], notes: FaultCollector
) -> CapturedRequest:
    text, parameters = post.get("text"), post.get("params")
    if _has_files(text, parameters):
        notes.add(f"{request.where}.postData", "file uploads cannot be represented: the body is left out")
        headers = tuple(pair for pair in request.headers if pair[0].lower() != "content-type")
        return CapturedRequest(request.where, request.method, request.url, headers)
    if isinstance(text, str) and text:
        return _dressed(request, kind, text)
    kind, body = multipart_body(list(_pairs(parameters)))
    headers = tuple(pair for pair in request.headers if pair[0].lower() != "content-type")
    return _dressed(CapturedRequest(request.where, request.method, request.url, headers), kind, body)


def _has_files(text: object, parameters: object) -> bool:
    in_text = isinstance(text, str) and "filename=" in text
    fields = parameters if isinstance(parameters, list) else []
    return in_text or any(isinstance(field, dict) and field.get("fileName") for field in fields)


def _dressed(request: CapturedRequest, kind: str, body: str | None) -> CapturedRequest:
    """The request with its body, and with the type of the body."""
    named = {name.lower() for name, _ in request.headers}
    extra = (("Content-Type", kind),) if kind and body and "content-type" not in named else ()
    return CapturedRequest(request.where, request.method, request.url, (*request.headers, *extra), body)


def _pairs(entries: object) -> Iterable[tuple[str, str]]:
    """Names and values of a list as HAR has them."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            yield entry["name"], str(entry.get("value") or "")
