"""A workflow in the form in which it is run: nothing is left to look up or to encode."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from hyperscale.worker.engine.models.load import Load, Pause
from hyperscale.worker.engine.templates import RequestTemplate


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go."""

    host: str
    """Name or address, without brackets."""
    port: int
    tls: bool
    speaks_http2: bool = False
    """Which version of HTTP is spoken there; HTTP/1.1 otherwise."""


@dataclass(frozen=True, slots=True)
class EncodedStep:
    """One request, ready to be written."""

    name: str
    index: int
    origin_index: int
    payload: bytes
    timeout_seconds: float
    expected_statuses: Container[int]
    is_head: bool
    """Whether the response ends with its header, whatever that says."""
    is_usual: bool
    """Whether the response may be taken on the short path: not to HEAD, the request is written at once, and nobody looks
    at more than the status."""
    keeps_body: bool = False
    """Whether somebody looks at the body of the response."""
    template: RequestTemplate | None = None
    """What is filled in for each request, in place of `payload`; None when there is nothing to fill in."""
    max_redirects: int = 0
    connect_timeout_seconds: float = math.inf
    """As the other timeouts of a phase, bounded by `timeout_seconds` besides."""
    tls_timeout_seconds: float = math.inf
    first_byte_timeout_seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Plan:
    """The load of one engine."""

    workflow_name: str
    origins: tuple[Origin, ...]
    steps: tuple[EncodedStep, ...]
    vus: int
    """Most users at once."""
    load: Load
    load_seconds: float
    """Time during which iterations start."""
    graceful_stop_seconds: float
    client_steps: tuple[str, ...] = ()
    """Names of the steps when coroutine users run them; `steps` is empty then."""
    think_time: Pause | None = None
    """After each iteration."""
    step_think_times: tuple[Pause | None, ...] = ()
    """After each step of `steps`."""
    descriptor_set: bytes = b""
    """What describes the methods of gRPC calls; empty: their servers are asked."""
    warm_up_seconds: float = 0.0
    """Time from the start whose measurements are left out."""
