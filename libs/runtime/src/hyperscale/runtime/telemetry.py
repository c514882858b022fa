"""Metrics of a node, for a collector that speaks OTLP.

Law: a node without a collector loads nothing for it, starts no thread and keeps no number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

Labels = Mapping[str, str]

_EXPORT_TIMEOUT_SECONDS = 3.0


class Counter(Protocol):
    """What only grows."""

    def add(self, amount: int, attributes: Labels | None = None) -> None:
        """Count so many more, under these labels."""
        ...


class Gauge(Protocol):
    """What was last so much."""

    def set(self, amount: float, attributes: Labels | None = None) -> None:
        """It is so much now, under these labels."""
        ...


class Distribution(Protocol):
    """How values are distributed."""

    def record(self, amount: float, attributes: Labels | None = None) -> None:
        """One more value, under these labels."""
        ...


class Meter(Protocol):
    """Makes instruments; what the suite uses of OpenTelemetry's meter."""

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """An instrument for what only grows."""
        ...

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Gauge:
        """An instrument for what goes up and down."""
        ...

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Distribution:
        """An instrument for a distribution, with the upper bounds of its buckets."""
        ...


class _SilentInstrument:
    def add(self, amount: int, attributes: Labels | None = None) -> None:
        """Nobody listens."""

    def set(self, amount: float, attributes: Labels | None = None) -> None:
        """Nobody listens."""

    def record(self, amount: float, attributes: Labels | None = None) -> None:
        """Nobody listens."""


class SilentMeter:
    """The meter of a node without a collector."""

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """An instrument that keeps nothing."""
        return _SilentInstrument()

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Gauge:
        """An instrument that keeps nothing."""
        return _SilentInstrument()

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Distribution:
        """An instrument that keeps nothing."""
        return _SilentInstrument()


def checked_collector(url: str) -> str:
    """The address of a collector as it was given; raises ValueError unless it is http(s)://host:port."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None or parts.path.strip("/"):
        raise ValueError(f"{url!r} is not http://host:port or https://host:port")
    return url


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The metrics of a process, and their way out."""

    meter: Meter
    _shut_down: Callable[[float], None] | None = None

    async def close(self, timeout_seconds: float) -> None:
        """Export once more and stop; what a collector does not take within the timeout is lost."""
        if self._shut_down is not None:
            await asyncio.to_thread(self._shut_down, timeout_seconds * 1000)


def silent_telemetry() -> Telemetry:
    """That of a node without a collector."""
    return Telemetry(SilentMeter())


def exporting_telemetry(
    collector: str, interval_seconds: float, resource: Labels, failures: Callable[[], Mapping[str, int]]
) -> Telemetry:
    """Metrics that a thread sends to a collector every so many seconds.

    Parameters
    ----------
    collector
        ``http://host:port``, or ``https://`` for TLS.
    resource
        What the process is: OpenTelemetry's attributes of a resource.
    failures
        Failures of background work so far, by its name.
    """
    # Loaded here only: their import takes longer than that of a whole node.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.metrics import Observation  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    exporter = OTLPMetricExporter(collector, timeout=_EXPORT_TIMEOUT_SECONDS)
    reader = PeriodicExportingMetricReader(exporter, interval_seconds * 1000, _EXPORT_TIMEOUT_SECONDS * 1000)
    # Its end is ours to await: an exit handler of its own would wait half a minute for a collector that is gone.
    provider = MeterProvider([reader], Resource.create(dict(resource)), shutdown_on_exit=False)
    meter = provider.get_meter("hyperscale")

    def observed(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"work": name}) for name, count in failures().items()]

    meter.create_observable_counter(
        "hyperscale.background_failures_total",
        [observed],
        description="Failures of background work, and handled errors that were reported",
    )
    return Telemetry(meter, provider.shutdown)
