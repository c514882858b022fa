"""Reads a curl command line."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from hyperscale.client.conversion.errors import ConversionError
from hyperscale.client.conversion.forms import FORM_TYPE, multipart_body
from hyperscale.client.conversion.shell import shell_words
from hyperscale.client.models.captures import Capture, CapturedRequest
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.limits import MAX_REDIRECTS

_CURL_REDIRECTS: Final = 50


@dataclass(slots=True)
class _CurlCall:
    """What the options read so far ask for."""

    notes: FaultCollector
    urls: list[str] = field(default_factory=list)
    method: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    form: list[tuple[str, str]] = field(default_factory=list)
    data_in_query: bool = False
    follows: bool = False
    redirects: int = _CURL_REDIRECTS
    http2_schemes: frozenset[str] = frozenset()
    """URLs that are asked for over HTTP/2."""
    timeouts: dict[str, object] = field(default_factory=dict)
    http_options: dict[str, object] = field(default_factory=dict)


def read_curl(text: str, notes: FaultCollector) -> Capture:
    """The requests of one curl command; what cannot be said in a job file goes to `notes`. Raises ConversionError."""
    words = shell_words(text, notes)
    if words[:1] != ["curl"]:
        raise ConversionError([Fault("", "must be a command line that begins with curl")])
    call = _CurlCall(notes)
    faults = FaultCollector()
    _read_options(words[1:], call, faults)
    if not call.urls:
        faults.add("", "has no URL")
    if faults.faults():
        raise ConversionError(faults.faults())
    return _capture(call)


def _read_options(words: list[str], call: _CurlCall, faults: FaultCollector) -> None:
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word.startswith("--") and len(word) > len("--"):
            name, equals, value = word.partition("=")
            waiting += [value] if equals and name in _VALUED else []
        elif word.startswith("-") and len(word) > 1 and word != "--":
            name = word[:2]
            rest = word[2:]
            waiting += [rest if name in _VALUED else f"-{rest}"] if rest else []
        else:
            call.urls += [word] if word != "--" else []
            continue
        _apply(name, waiting, call, faults)


def _apply(name: str, waiting: list[str], call: _CurlCall, faults: FaultCollector) -> None:
    if name in _FLAGS:
        _FLAGS[name](call)
    elif name not in _VALUED:
        faults.add(name, "is not an option that is known here; leave it out")
    elif not waiting:
        faults.add(name, "needs a value")
    else:
        value = waiting.pop()
        try:
            _VALUED[name](call, value)
        except ValueError:
            faults.add(name, f"has no use for {value[:60]!r}")


def _capture(call: _CurlCall) -> Capture:
    headers, body = list(call.headers), "&".join(call.data) if call.data else None
    query = ""
    if call.data_in_query:
        query, body = body or "", None
    elif call.form:
        content_type, body = multipart_body(call.form)
        headers.append(("Content-Type", content_type))
    elif body is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", FORM_TYPE))
    method = call.method or ("GET" if body is None else "POST")
    redirects = min(call.redirects, MAX_REDIRECTS) if call.follows else 0
    options = {"max_redirects": redirects, **call.timeouts}
    requests = [
        CapturedRequest("curl", method, url, tuple(headers), body, options | _version(call, url))
        for url in (_with_query(url, query) for url in call.urls)
    ]
    return Capture(tuple(requests), call.http_options)


def _version(call: _CurlCall, url: str) -> dict[str, object]:
    if url.partition(":")[0].lower() in call.http2_schemes:
        return {"version": "http_2"}
    if call.http2_schemes:
        call.notes.add(
            "--http2",
            "is left out: HTTP/1.1 connections to http:// are not upgraded; --http2-prior-knowledge is possible",
        )
    return {}


def _with_query(url: str, query: str) -> str:
    url = url if "://" in url else f"http://{url}"
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _header(call: _CurlCall, value: str) -> None:
    name, colon, content = value.partition(":")
    if value.startswith("@"):
        call.notes.add("-H", f"headers from a file are left out: {value[:80]}")
    elif colon and content.strip():
        call.headers.append((name.strip(), content.strip()))
    elif value.endswith(";"):
        call.headers.append((value[:-1].strip(), ""))


def _data(call: _CurlCall, value: str) -> None:
    if value.startswith("@"):
        call.notes.add("--data", f"the content of a file is left out: {value[:80]}")
        call.method = call.method or "POST"
    else:
        call.data.append(value)


def _raw_data(call: _CurlCall, value: str) -> None:
    call.data.append(value)


def _encoded_data(call: _CurlCall, value: str) -> None:
    name, equals, content = value.partition("=")
    if not equals and "@" in value:
        call.notes.add("--data-urlencode", f"the content of a file is left out: {value[:80]}")
    elif not equals:
        call.data.append(quote(value, safe=""))
    else:
        call.data.append(f"{name}={quote(content, safe='')}" if name else quote(content, safe=""))


def _json(call: _CurlCall, value: str) -> None:
    _data(call, value)
    given = {name.lower() for name, _ in call.headers}
    call.headers += [(name, "application/json") for name in ("Content-Type", "Accept") if name.lower() not in given]


def _form(call: _CurlCall, value: str) -> None:
    name, _, content = value.partition("=")
    if content.startswith(("@", "<")):
        call.notes.add("--form", f"file uploads cannot be represented: the field {name[:80]!r} is left out")
        call.method = call.method or "POST"
    else:
        call.form.append((name, content))


def _form_text(call: _CurlCall, value: str) -> None:
    name, _, content = value.partition("=")
    call.form.append((name, content))


def _cookie(call: _CurlCall, value: str) -> None:
    if "=" in value:
        call.headers.append(("Cookie", value))
    else:
        call.notes.add("--cookie", f"cookies from a file are left out: {value[:80]}")


def _user(call: _CurlCall, value: str) -> None:
    call.headers.append(("Authorization", f"Basic {base64.b64encode(value.encode()).decode()}"))


def _named_header(name: str) -> Callable[[_CurlCall, str], None]:
    return lambda call, value: call.headers.append((name, value))


def _timeout(name: str) -> Callable[[_CurlCall, str], None]:
    def take(call: _CurlCall, value: str) -> None:
        call.timeouts[name] = f"{float(value):.3f}s"

    return take


def _set(name: str, setting: object) -> Callable[[_CurlCall], None]:
    return lambda call: setattr(call, name, setting)


def _redirects(call: _CurlCall, value: str) -> None:
    limit = int(value)
    call.redirects = limit if limit >= 0 else _CURL_REDIRECTS


def _proxy(call: _CurlCall, value: str) -> None:
    call.http_options["proxy"] = value if "://" in value else f"http://{value}"


def _insecure(call: _CurlCall) -> None:
    call.http_options["insecure_skip_verify"] = True


def _lost_flag(name: str, why: str) -> Callable[[_CurlCall], None]:
    return lambda call: call.notes.add(name, why)


def _lost(name: str) -> Callable[[_CurlCall, str], None]:
    return lambda call, value: call.notes.add(name, f"cannot be represented and is left out: {value[:80]}")


def _ignore(call: _CurlCall, value: str = "") -> None:
    """What a command prints or how it is retried is no matter of the request."""


_SILENT_FLAGS: Final = [
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-v",
    "--verbose",
    "-i",
    "--include",
    "-f",
    "--fail",
    "--fail-with-body",
    "-O",
    "--remote-name",
    "-#",
    "--progress-bar",
    "--no-progress-meter",
    "--http1.1",
    "--basic",
    "-g",
    "--globoff",
    "-N",
    "--no-buffer",
    "-4",
    "--ipv4",
    "-6",
    "--ipv6",
    "--tcp-nodelay",
    "--path-as-is",
]
_SILENT: Final = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "-c",
    "--cookie-jar",
    "-D",
    "--dump-header",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--limit-rate",
    "--keepalive-time",
    "--stderr",
    "--trace",
    "--trace-ascii",
]
_LOST: Final = [
    "-T",
    "--upload-file",
    "-E",
    "--cert",
    "--key",
    "--cacert",
    "--capath",
    "--resolve",
    "--connect-to",
    "-r",
    "--range",
    "--unix-socket",
    "--interface",
    "-U",
    "--proxy-user",
    "--ciphers",
    "--aws-sigv4",
    "-K",
    "--config",
]
_OTHER_HTTP: Final = "is left out: requests are made over HTTP/1.1 or HTTP/2"
_FLAGS: Final[Mapping[str, Callable[[_CurlCall], None]]] = {
    **dict.fromkeys(("-G", "--get"), _set("data_in_query", True)),
    **dict.fromkeys(("-I", "--head"), _set("method", "HEAD")),
    **dict.fromkeys(("-L", "--location"), _set("follows", True)),
    **dict.fromkeys(("-k", "--insecure"), _insecure),
    **{name: _lost_flag(name, _OTHER_HTTP) for name in ("--http3", "-0", "--http1.0")},
    "--http2": _set("http2_schemes", frozenset({"https"})),
    "--http2-prior-knowledge": _set("http2_schemes", frozenset({"http", "https"})),
    "--compressed": lambda call: call.headers.append(("Accept-Encoding", "gzip, deflate")),
    **{
        name: _lost_flag(name, "is left out: other authentication than Basic cannot be represented")
        for name in ("--digest", "--ntlm", "--negotiate")
    },
    **dict.fromkeys(_SILENT_FLAGS, _ignore),
}
_VALUED: Final[Mapping[str, Callable[[_CurlCall, str], None]]] = {
    **dict.fromkeys(("-X", "--request"), lambda call, value: setattr(call, "method", value)),
    **dict.fromkeys(("-H", "--header"), _header),
    **dict.fromkeys(("-d", "--data", "--data-ascii", "--data-binary"), _data),
    "--data-raw": _raw_data,
    "--data-urlencode": _encoded_data,
    "--json": _json,
    **dict.fromkeys(("-F", "--form"), _form),
    "--form-string": _form_text,
    **dict.fromkeys(("-b", "--cookie"), _cookie),
    **dict.fromkeys(("-u", "--user"), _user),
    **dict.fromkeys(("-A", "--user-agent"), _named_header("User-Agent")),
    **dict.fromkeys(("-e", "--referer"), _named_header("Referer")),
    "--url": lambda call, value: call.urls.append(value),
    **dict.fromkeys(("-m", "--max-time"), _timeout("timeout")),
    "--connect-timeout": _timeout("connect_timeout"),
    "--max-redirs": _redirects,
    **dict.fromkeys(("-x", "--proxy"), _proxy),
    **{name: _lost(name) for name in _LOST},
    **dict.fromkeys(_SILENT, _ignore),
}
