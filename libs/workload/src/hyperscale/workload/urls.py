"""Targets and URLs of a job: what is valid, and how a path meets its target."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

BUNDLED_TARGET: Final = "bundled://"
"""Target of a job file that is to run against the server that comes with the client, which replaces it by its URL."""

FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""Name of a header field."""

_SCHEMES: Final = ("http", "https")
_FORBIDDEN_CHARACTERS: Final = re.compile(r"[^\x21-\x7e]")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")


def is_path(url: str) -> bool:
    """Whether a URL is a path that is appended to the job's target."""
    return url.startswith("/")


def resolve_url(target: str, url: str) -> str:
    """Absolute URL of a request: the URL itself, or the target followed by the path."""
    return target.rstrip("/") + url if is_path(url) else url


def websocket_url(target: str, url: str) -> str:
    """Absolute ws:// or wss:// URL of a session; a path follows an http:// or https:// target."""
    return re.sub("^http", "ws", resolve_url(target, url), flags=re.IGNORECASE)


def url_fault(url: str) -> str | None:
    """What is wrong with the URL of a request; None when nothing is."""
    if is_path(url):
        return _character_fault(url)
    if not url:
        return "is required: an http:// or https:// URL, or a path that starts with '/'"
    if "://" not in url:
        return "must be an http:// or https:// URL, or a path that starts with '/'"
    return _absolute_fault(url)


def target_fault(target: str) -> str | None:
    """What is wrong with a job's base URL; None when nothing is."""
    if "://" not in target:
        return "must be an http:// or https:// URL, such as 'https://shop.example.com'"
    fault = _absolute_fault(target)
    if fault is None and "?" in target:
        return "must not have a query: paths are appended to it"
    return fault


def _character_fault(url: str) -> str | None:
    if _FORBIDDEN_CHARACTERS.search(url):
        return "must not contain spaces, control or non-ASCII characters: percent-encode them"
    if "#" in url:
        return "must not have a fragment ('#…'): it is never sent"
    return None


def _absolute_fault(url: str) -> str | None:
    fault = _character_fault(url)
    if fault is not None:
        return fault
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    return _parts_fault(parts, port)


def _parts_fault(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in _SCHEMES:
        return f"must begin with http:// or https://, not {parts.scheme[:32] + '://'!r}"
    if "@" in parts.netloc:
        return "must not contain credentials: use an Authorization header"
    host = parts.netloc.removesuffix(f":{parts.netloc.rpartition(':')[2]}") if port is not None else parts.netloc
    if not _HOST.fullmatch(host):
        return "has no valid host"
    return "has no valid port" if port == 0 else None
