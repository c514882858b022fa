"""How the latencies of a datacenter stand beside their target. Pure."""

from __future__ import annotations

from typing import Final

from hyperscale.routing.datacenter_health import watched
from hyperscale.routing.models.candidates import SloStanding
from hyperscale.v1.progress_pb2 import RequestLatency

MIN_SAMPLES: Final = 100
"""Fewer requests say nothing about percentiles."""


def judged(
    before: SloStanding | None, latency: RequestLatency, target_ms: float | None, passed_seconds: float
) -> SloStanding | None:
    """The standing after a heartbeat; None without a target, or with too few requests to tell.

    Parameters
    ----------
    before
        The standing after the heartbeat before.
    passed_seconds
        Time since then.
    """
    if target_ms is None or latency.count < MIN_SAMPLES:
        return None
    return watched(before, target_ms, (latency.p50_ms, latency.p95_ms, latency.p99_ms), passed_seconds)
