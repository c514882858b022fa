"""Requests of all protocols together, for the views that have one line for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hyperscale.client.views.numbers import value_of
from hyperscale.client.views.progress import Metrics

_REQUESTS: Final = "_reqs"
_HTTP: Final = "http"


@dataclass(frozen=True, slots=True)
class RequestFigures:
    """What was asked, how fast, how often in vain, and how long it took.

    Attributes
    ----------
    durations_ms
        Of the protocol with most requests, by aggregation.
    """

    count: float
    rate: float
    failed_share: float
    durations_ms: Mapping[str, float]


def figures_of(metrics: Metrics) -> RequestFigures:
    """The requests that metrics tell of: HTTP, and calls of every other protocol."""
    counts = {protocol: value_of(metrics, f"{protocol}{_REQUESTS}", "count") for protocol in _protocols(metrics)}
    total = sum(counts.values())
    failed = sum(value_of(metrics, f"{protocol}_req_failed", "count") for protocol in counts)
    main = max(counts, key=lambda protocol: counts[protocol], default=_HTTP)
    return RequestFigures(
        count=total,
        rate=sum(value_of(metrics, f"{protocol}{_REQUESTS}", "rate") for protocol in counts),
        failed_share=failed / total if total else 0.0,
        durations_ms=metrics.get(f"{main}_req_duration", {}),
    )


def _protocols(metrics: Metrics) -> list[str]:
    """Those that have requests; a metric of the job's own code may be called as it likes."""
    named = [name.removesuffix(_REQUESTS) for name in metrics if name.endswith(_REQUESTS)]
    return [protocol for protocol in named if protocol == _HTTP or f"{protocol}_req_failed" in metrics]
