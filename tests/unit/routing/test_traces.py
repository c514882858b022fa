"""Decisions as people read them: each text says the whole of one."""

from hyperscale.routing.explanation import trace
from hyperscale.routing.models.candidates import DatacenterCandidate, RoutingRequest
from hyperscale.routing.router import JobRouter
from tests.unit.routing.candidates import near


def traced(*candidates: DatacenterCandidate, request: RoutingRequest | None = None) -> str:
    return trace(JobRouter().decide("job", request or RoutingRequest(), candidates, 0.0))


def test_the_nearest_of_the_healthy() -> None:
    text = traced(near("east", 20.0), near("west", 80.0), near("full", 1.0, free=0), near("gone", is_reachable=False))
    assert (
        text
        == """\
east: first decision (by score; then west, full)
  east HEALTHY 20.0 = 20.0 ms: lowest score
  west HEALTHY 80.0 = 80.0 ms: 4.00 times the score of east
  full BUSY 7.5 = 5.0 ms × load 1.50: BUSY, and HEALTHY ones come first: it has no free cores
  gone UNHEALTHY: it is unhealthy (it cannot be reached)"""
    )


def test_without_distances() -> None:
    text = traced(near("east", None, free=2), near("west", None), request=RoutingRequest(exclude=frozenset({"old"})))
    assert (
        text
        == """\
west: first decision (by capacity; then east)
  east HEALTHY 412.5 = 200.0 ms × load 1.38 × quality 1.50: has fewer free cores, waits longer or was not its turn; \
distances are not known
  west HEALTHY 300.0 = 200.0 ms × quality 1.50: most free cores, distances are not known"""
    )


def test_nobody() -> None:
    text = traced(near("east", managers=0, healthy_managers=0), near("west", free=0, is_reachable=False))
    assert (
        text
        == """\
no datacenter can be used: east: none of its managers is connected (it has no managers); \
west: it is unhealthy (it cannot be reached) (by score; then nobody)
  east UNHEALTHY: none of its managers is connected (it has no managers)
  west UNHEALTHY: it is unhealthy (it cannot be reached)"""
    )
