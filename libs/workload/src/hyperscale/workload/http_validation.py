"""Judges the HTTP request of a step."""

from __future__ import annotations

import re
from typing import Final, Literal

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.json_values import is_json
from hyperscale.workload.limits import (
    MAX_EXPECTED_STATUSES,
    MAX_HEADERS,
    MAX_REDIRECTS,
    MAX_REQUEST_TIMEOUT_SECONDS,
    at_most,
    check_duration,
)
from hyperscale.workload.templates import without_slots
from hyperscale.workload.urls import FIELD_NAME, is_path, url_fault

ENGINE_HEADERS: Final = frozenset({"host", "content-length", "connection", "transfer-encoding"})
"""Header fields that the engine sets; in lower case."""

HTTP_1_HEADERS: Final = frozenset({"keep-alive", "proxy-connection", "te", "upgrade"})
"""Header fields about a connection, which HTTP/2 does not have (RFC 9113, section 8.2.2), beside those above."""

_TIMEOUTS: Final[tuple[Literal["timeout", "connect_timeout", "tls_timeout", "first_byte_timeout"], ...]] = (
    "timeout",
    "connect_timeout",
    "tls_timeout",
    "first_byte_timeout",
)
SHARED_HTTP_2_FAULT: Final = (
    "cannot be HTTP/2 together with max_connections_per_origin: each user has a connection of its own"
)
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


def header_fault(http: workflow_pb2.HttpRequest, name: str) -> str | None:
    """What is wrong with a request that has a header field itself; None when it may."""
    lower = name.lower()
    if lower in ENGINE_HEADERS:
        return "is set by the engine"
    if lower in HTTP_1_HEADERS and http.version == workflow_pb2.HTTP_VERSION_HTTP_2:
        return "is about a connection: HTTP/2 has no such field"
    return None


class HttpJudge:
    """Notes the faults of requests of one job.

    Parameters
    ----------
    has_target
        Whether the job has a base URL, so that a path is enough.
    shares_connections
        Whether its users share a limited number of connections.
    """

    def __init__(self, faults: FaultCollector, *, has_target: bool, shares_connections: bool) -> None:
        self._faults = faults
        self._has_target = has_target
        self._shares_connections = shares_connections

    def judge(self, path: str, http: workflow_pb2.HttpRequest) -> None:
        """Note every fault of a request that stands at `path`."""
        if http.method not in workflow_pb2.HttpMethod.values():
            self._faults.add(f"{path}.method", f"has no value {http.method}")
        self._version(f"{path}.version", http.version)
        self._url(f"{path}.url", http.url)
        self._headers(f"{path}.headers", http)
        if http.HasField("json") and not is_json(http.json):
            self._faults.add(f"{path}.json", "must be JSON: no infinite or undefined numbers, no value left out")
        for name in _TIMEOUTS:
            if http.HasField(name):
                limit = MAX_REQUEST_TIMEOUT_SECONDS
                check_duration(self._faults, f"{path}.{name}", getattr(http, name), longest_seconds=limit)
        if http.max_redirects > MAX_REDIRECTS:
            self._faults.add(f"{path}.max_redirects", f"must be at most {MAX_REDIRECTS}, not {http.max_redirects:,}")
        self._expected_statuses(f"{path}.expected_statuses", list(http.expected_statuses))

    def _version(self, path: str, version: int) -> None:
        if version not in workflow_pb2.HttpVersion.values():
            self._faults.add(path, f"has no value {version}")
        elif version == workflow_pb2.HTTP_VERSION_HTTP_2 and self._shares_connections:
            self._faults.add(path, SHARED_HTTP_2_FAULT)

    def _url(self, path: str, url: str) -> None:
        fault = url_fault(without_slots(url))
        if fault is not None:
            self._faults.add(path, fault)
        elif is_path(url) and not self._has_target:
            self._faults.add(path, "is a path, which needs the job's target; name a target or write the whole URL")

    def _headers(self, path: str, http: workflow_pb2.HttpRequest) -> None:
        headers = dict(http.headers)
        seen: dict[str, str] = {}
        for name in at_most(self._faults, path, sorted(headers), MAX_HEADERS):
            at = f"{path}[{name[:80]!r}]"
            lower = name.lower()
            if not FIELD_NAME.fullmatch(name):
                self._faults.add(at, "is not a header name")
            elif fault := header_fault(http, name):
                self._faults.add(at, fault)
            elif lower in seen:
                self._faults.add(at, f"is the same header as {seen[lower]!r}")
            if not _HEADER_VALUE.fullmatch(without_slots(headers[name])):
                self._faults.add(at, "must be printable ASCII, without line breaks")
            seen.setdefault(lower, name)

    def _expected_statuses(self, path: str, statuses: list[int]) -> None:
        for index, status in enumerate(at_most(self._faults, path, statuses, MAX_EXPECTED_STATUSES)):
            if not 100 <= status <= 599:
                self._faults.add(f"{path}[{index}]", f"must be 100 to 599, not {status}")
