"""What the clients of protocols measure, what the catalogue has of it, and what the documentation says are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperscale.worker.engine import clients
from hyperscale.workload.metric_catalogue import CALL_METRICS, PROTOCOL_METRICS, MetricKind
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics

CLIENTS = [*Path(clients.__file__).parent.glob("*.py")]
DOCUMENTATION = Path(__file__).parents[4] / "docs" / "workflows.md"
MEASURES = {"count": MetricKind.COUNTER, "record": MetricKind.TREND}
BEYOND_CALLS = {
    name: kind
    for protocol, metrics in PROTOCOL_METRICS.items()
    for name, kind in metrics.items()
    if name.removeprefix(f"{protocol}_") not in CALL_METRICS
}


def measured_in(client: Path) -> Iterator[tuple[str, MetricKind]]:
    """Metrics that a client counts and records by name."""
    for node in ast.walk(ast.parse(client.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(name)), *_]):
                if method in MEASURES:
                    yield name, MEASURES[method]


def test_clients_measure_what_the_catalogue_has() -> None:
    assert {metric for client in CLIENTS for metric in measured_in(client)} == set(BEYOND_CALLS.items())


def test_calls_are_measured_under_the_protocols_of_the_catalogue() -> None:
    assigned = re.compile(r'^_PROTOCOL: Final = "(\w+)"$', re.MULTILINE)
    spoken = {name for client in CLIENTS for name in assigned.findall(client.read_text(encoding="utf-8"))}
    assert spoken == PROTOCOL_METRICS.keys()


@pytest.mark.parametrize("protocol", PROTOCOL_METRICS)
def test_results_name_calls_as_the_catalogue_does(protocol: str) -> None:
    statistics = WorkflowStatistics("shop")
    calls = statistics.step("ask").protocol(protocol)
    calls.total_count = 1
    calls.duration_ms.record(1.0)
    shown = {name for name in metrics_of([statistics], 1.0) if name.startswith(f"{protocol}_")}
    assert shown == {f"{protocol}_{name}" for name in CALL_METRICS}


def test_the_documentation_names_every_metric_of_a_protocol_and_no_other() -> None:
    rows = [line.split("|")[1] for line in DOCUMENTATION.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    written = {name for row in rows for name in re.findall(r"`(\w+)`", row) if name.split("_")[0] in PROTOCOL_METRICS}
    assert written - PROTOCOL_METRICS.keys() == {name for metrics in PROTOCOL_METRICS.values() for name in metrics}
