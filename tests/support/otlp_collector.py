"""A collector of metrics as nodes see it: speaks OTLP/gRPC and remembers the newest value of every series."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

Series = tuple[str, frozenset[tuple[str, str]]]


def series(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


@dataclass(slots=True)
class Collector(MetricsServiceServicer):
    """Of a histogram it remembers the number of values."""

    endpoint: str = ""
    values: dict[Series, float] = field(default_factory=dict)
    resource: dict[str, str] = field(default_factory=dict)
    exports: int = 0

    async def Export(
        self, request: ExportMetricsServiceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ExportMetricsServiceResponse:
        self.exports += 1
        for resource in request.resource_metrics:
            self.resource = _texts(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._take(metric)
        return ExportMetricsServiceResponse()

    def _take(self, metric: Metric) -> None:
        for number in (*metric.sum.data_points, *metric.gauge.data_points):
            value = number.as_int or number.as_double
            self.values[series(metric.name, **_texts(number.attributes))] = value
        for distribution in metric.histogram.data_points:
            self.values[series(metric.name, **_texts(distribution.attributes))] = distribution.count


def _texts(attributes: Any) -> dict[str, str]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: pair.value.string_value for pair in pairs}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a port of its own for the length of the block."""
    server = grpc.aio.server()
    collector = Collector()
    add_MetricsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
