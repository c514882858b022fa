"""The cookies of one user (RFC 6265); opens no socket and reads no clock."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from hyperscale.worker.engine.models.plan import Origin

MAX_COOKIES: Final = 200
"""Per user; the one that was changed longest ago makes room."""
MAX_COOKIE_BYTES: Final = 4096
"""Name, value and attributes; larger ones are ignored, as browsers do."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_AGE: Final = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class _Key:
    domain: str
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Cookie:
    value: str
    is_host_only: bool
    is_secure: bool
    expires_at: float
    """Seconds since the epoch; infinite for the length of the run."""
    created: int
    """Order of creation, which a change keeps."""


class CookieJar:
    """Takes Set-Cookie fields and says what to send where. Times are seconds since the epoch."""

    __slots__ = ("_cookies", "_created", "version")

    def __init__(self) -> None:
        self._cookies: dict[_Key, _Cookie] = {}
        self._created = 0
        self.version = 0
        """Changes whenever what is to be sent may change, time aside."""

    def store(self, field: bytes, origin: Origin, path: str, now: float) -> None:
        """Take the value of one Set-Cookie field that came with the response to a request for `path`."""
        text = field.decode("latin-1")
        pair, *rest = text.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and name) or len(field) > MAX_COOKIE_BYTES or _CONTROL.search(text):
            return
        attributes = {key.strip().lower(): given.strip() for key, _, given in (part.partition("=") for part in rest)}
        domain = attributes.get("domain", "").lower().removeprefix(".")
        is_secure = "secure" in attributes
        if (domain and not _may_set(domain, origin.host)) or (is_secure and not origin.tls):
            return
        given_path = attributes.get("path", "")
        key = _Key(domain or origin.host, given_path if given_path.startswith("/") else _default_path(path), name)
        self._put(key, _Cookie(value, not domain, is_secure, _expiry(attributes, now), self._created), now)

    def header(self, origin: Origin, path: str, now: float) -> str:
        """Value of the Cookie field of a request; empty when there is nothing to send."""
        sent = [
            (-len(key.path), cookie.created, f"{key.name}={cookie.value}")
            for key, cookie in self._cookies.items()
            if cookie.expires_at > now
            and (origin.tls or not cookie.is_secure)
            and _is_for_host(key, cookie, origin.host)
            and _is_for_path(key.path, path)
        ]
        return "; ".join(pair for _, _, pair in sorted(sent))

    @property
    def next_expiry(self) -> float:
        """When the first cookie expires; infinite when none does."""
        return min((cookie.expires_at for cookie in self._cookies.values()), default=math.inf)

    def forget_expired(self, now: float) -> None:
        """Drop what is not sent any more."""
        self._cookies = {key: cookie for key, cookie in self._cookies.items() if cookie.expires_at > now}
        self.version += 1

    def _put(self, key: _Key, cookie: _Cookie, now: float) -> None:
        old = self._cookies.pop(key, None)
        if cookie.expires_at > now:
            created = old.created if old is not None else self._created
            self._cookies[key] = _Cookie(
                cookie.value, cookie.is_host_only, cookie.is_secure, cookie.expires_at, created
            )
            self._created += 1
            if len(self._cookies) > MAX_COOKIES:
                del self._cookies[next(iter(self._cookies))]
        if self._cookies.get(key) != old:
            self.version += 1


def _may_set(domain: str, host: str) -> bool:
    """Whether a host may set cookies for a domain: its own name, or a parent that is no top-level domain."""
    return domain == host or ("." in domain and host.endswith(f".{domain}") and not _is_address(host))


def _is_for_host(key: _Key, cookie: _Cookie, host: str) -> bool:
    return key.domain == host or (not cookie.is_host_only and host.endswith(f".{key.domain}"))


def _is_for_path(cookie_path: str, path: str) -> bool:
    if not path.startswith(cookie_path):
        return False
    return cookie_path.endswith("/") or path[len(cookie_path) :][:1] in {"", "/"}


def _default_path(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _expiry(attributes: dict[str, str], now: float) -> float:
    """Max-Age before Expires; neither: never."""
    age = attributes.get("max-age", "")
    if _MAX_AGE.fullmatch(age):
        return now + int(age)
    try:
        when = parsedate_to_datetime(attributes["expires"].replace("-", " "))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return math.inf
