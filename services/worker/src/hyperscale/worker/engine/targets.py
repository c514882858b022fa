"""Where a URL leads, and how its parts go over the wire."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from hyperscale.worker.engine.models.plan import Origin

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/%:@!$&'()*+,;=-._~"
_QUERY_SAFE: Final = _PATH_SAFE + "?[]|"


def split_url(url: str, target: str) -> SplitResult:
    """The absolute URL; a path is appended to the target's path. Raises ValueError."""
    if re.match(r"https?://", url, re.IGNORECASE):
        return urlsplit(url)
    if not target:
        raise ValueError(f"URL {url!r} is a path, and there is no target")
    base = target.rstrip("/")
    return urlsplit(base + url if url[:1] in {"/", "?"} else f"{base}/{url}")


def origin_of(url: SplitResult, *, speaks_http2: bool = False) -> Origin:
    """Where connections for the URL go. Raises ValueError when no request can go there."""
    if url.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"scheme {url.scheme!r} is neither http nor https")
    if not url.hostname:
        raise ValueError(f"URL {url.geturl()!r} names no host")
    if "@" in url.netloc:
        raise ValueError("credentials in a URL are not sent; use an Authorization header")
    host = url.hostname if url.hostname.isascii() else url.hostname.encode("idna").decode()
    if re.search(r"[\x00-\x20\x7f]", host):
        raise ValueError(f"{host!r} is not a host name")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    return Origin(host=host, port=port, tls=url.scheme == "https", speaks_http2=speaks_http2)


def authority_of(origin: Origin) -> str:
    """Host and port as the Host header field has them."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _DEFAULT_PORTS[_scheme(origin)] else f"{host}:{origin.port}"


def base_url(origin: Origin) -> str:
    """The origin as a URL without a path."""
    return f"{_scheme(origin)}://{authority_of(origin)}"


def request_target(url: SplitResult) -> str:
    """Path and query; the fragment stays at home. What is percent-encoded already is left as it is."""
    path = quote(url.path or "/", safe=_PATH_SAFE)
    return f"{path}?{quote(url.query, safe=_QUERY_SAFE)}" if url.query else path


def _scheme(origin: Origin) -> str:
    return "https" if origin.tls else "http"
