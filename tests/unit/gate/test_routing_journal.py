"""What is counted and logged of decisions."""

from collections.abc import Mapping

import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from structlog.testing import CapturingLogger

from hyperscale.gate.routing_journal import RoutingJournal
from hyperscale.routing.models.candidates import DatacenterCandidate, RoutingRequest
from hyperscale.routing.models.decisions import RoutingDecision
from hyperscale.routing.router import JobRouter
from hyperscale.v1 import routing_pb2
from tests.unit.routing.candidates import near

Labelled = Mapping[tuple[tuple[str, str], ...], float]


class Desk:
    """A router whose decisions are told to a journal."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider([self._reader], shutdown_on_exit=False).get_meter("test")
        self.log = CapturingLogger()
        wrapper = structlog.make_filtering_bound_logger(0)
        self._journal = RoutingJournal(
            meter, structlog.wrap_logger(self.log, processors=[_as_is], wrapper_class=wrapper)
        )
        self.router = JobRouter()

    def decide(self, count: int, *candidates: DatacenterCandidate, now_seconds: float = 0.0) -> RoutingDecision:
        decision = self.router.decide("job", RoutingRequest(count=count), candidates, now_seconds)
        self._journal.decided("job", decision, count, took_seconds=0.002)
        return decision

    def replaced(self, datacenter: str, successor: str, *candidates: DatacenterCandidate) -> None:
        decision = self.router.look("job", RoutingRequest(exclude=frozenset({datacenter})), candidates, 0.0)
        move = routing_pb2.RoutingFallback(
            from_datacenter=datacenter, to_datacenter=successor, reason="it did not answer"
        )
        self._journal.replaced("job", move, decision)

    def picked(self, *candidates: DatacenterCandidate) -> None:
        decision = self.router.look("once", RoutingRequest(), candidates, 0.0)
        self._journal.picked("job", decision.primaries[0], decision)

    def counted(self, name: str) -> Labelled:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            tuple(sorted((label, str(value)) for label, value in (point.attributes or {}).items())): getattr(
                point, "value", 0.0
            )
            or getattr(point, "count", 0.0)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"hyperscale.{name}"
            for point in metric.data.data_points
        }


def _as_is(_: object, __: str, event: Mapping[str, object]) -> tuple[tuple[object, ...], Mapping[str, object]]:
    return (event["event"],), {name: value for name, value in event.items() if name != "event"}


def test_a_datacenter_taken_from_a_job_is_a_switch() -> None:
    desk = Desk()
    desk.decide(1, near("east", 20.0), near("west", 40.0))
    desk.decide(1, near("east", 20.0), near("west", 40.0), now_seconds=1.0)
    desk.router.fail("east", 2.0)
    decision = desk.decide(1, near("east", 20.0), near("west", 40.0), now_seconds=2.0)
    assert decision.replaced == ("east",)
    causes = {dict(labels)["cause"]: value for labels, value in desk.counted("routing_decisions_total").items()}
    assert causes == {"first": 1, "kept": 1, "forced": 1}
    assert desk.counted("routing_switch_total") == {(("cause", "forced"),): 1}
    assert desk.counted("routing_decision_seconds") == {(): 3}
    assert desk.counted("routing_score")[(("datacenter", "east"),)] == 2 * 20.0


def test_datacenters_beyond_the_best_health_come_from_the_fallback_chain() -> None:
    desk = Desk()
    desk.decide(2, near("east", 20.0), near("west", 40.0, free=0))
    assert desk.counted("routing_fallback_used_total") == {(("datacenter", "west"),): 1}
    assert desk.counted("routing_refusals_total") == {}


def test_too_few_are_a_refusal_and_each_exclusion_counts_by_its_reason() -> None:
    desk = Desk()
    lost = [near(name, 1.0, is_reachable=False) for name in ("north", "south")]
    desk.decide(2, near("east", 20.0), near("west", 20.0, managers=0, healthy_managers=0), *lost)
    assert desk.counted("routing_refusals_total") == {(): 1}
    assert desk.counted("routing_fallback_used_total") == {}
    assert desk.counted("routing_exclusions_total") == {
        (("reason", "no_managers"),): 1,
        (("reason", "unhealthy"),): 2,
    }
    desk.decide(1, *lost)
    (refusal, last) = desk.log.calls
    assert (refusal.args, last.args) == (("job not routed",), ("job not routed",))
    assert refusal.kwargs["excluded"]["north"] == "it is unhealthy (it cannot be reached)"
    assert (last.kwargs["health"], last.kwargs["cause"]) == ("none", "none_usable")


def test_a_line_names_few_of_many() -> None:
    desk = Desk()
    desk.decide(1, *[near(f"dc{n}", 1.0 + n, is_reachable=n % 2 == 0) for n in range(100)])
    line = desk.log.calls[0].kwargs
    assert len(line["scores"]) == 10
    assert len(line["excluded"]) == 11
    assert line["excluded"]["…"] == "and 40 more"


def test_a_datacenter_that_takes_the_place_of_another_counts_and_is_told() -> None:
    desk = Desk()
    desk.replaced("east", "west", near("east"), near("west", 20.0), near("north", 40.0))
    assert desk.counted("routing_fallback_used_total") == {(("datacenter", "west"),): 1}
    (call,) = desk.log.calls
    assert (call.args, call.kwargs) == (
        ("job falls back",),
        {
            "job_id": "job",
            "from_datacenter": "east",
            "to_datacenter": "west",
            "reason": "it did not answer",
            "scores": {"west": 20.0, "north": 40.0},
            "excluded": {"east": "the job excludes it"},
        },
    )


def test_where_something_is_done_once_is_told_and_counts_as_no_decision() -> None:
    desk = Desk()
    desk.picked(near("east", 20.0), near("west", 40.0))
    (call,) = desk.log.calls
    assert (call.args, call.kwargs["datacenter"], call.kwargs["scores"]) == (
        ("job teardown placed",),
        "east",
        {"east": 20.0, "west": 40.0},
    )
    desk.decide(1, near("east", 20.0))
    assert sum(desk.counted("routing_decisions_total").values()) == 1
