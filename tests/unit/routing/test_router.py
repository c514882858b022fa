"""Decisions about jobs."""

import math
from dataclasses import replace

import pytest

from hyperscale.routing.explanation import why
from hyperscale.routing.models.candidates import (
    DatacenterCandidate,
    DatacenterCapacity,
    DatacenterHealth,
    RoundTrip,
    RoutingRequest,
    RoutingScope,
    RunningShard,
)
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import Cause, Exclusion, Ranking, RoutingDecision
from hyperscale.routing.router import JobRouter
from tests.unit.routing.candidates import near

ONE = RoutingRequest()


def once(*candidates: DatacenterCandidate, request: RoutingRequest = ONE) -> RoutingDecision:
    return JobRouter().decide("job", request, candidates, 0.0)


@pytest.mark.requirement("AD-36.1")
def test_the_lowest_score_wins_and_its_components_are_visible() -> None:
    decision = once(
        near("far", 90.0), near("near", 20.0, free=4), request=RoutingRequest(preferred=frozenset({"near"}))
    )
    assert decision.primaries == ("near",)
    assert decision.fallback_chain == ("far",)
    part = decision.standings[1].components
    assert part is not None
    assert (part.latency_ms, part.load, part.quality, part.preference, part.slo) == (20.0, 1.25, 1.0, 0.9, 1.0)
    assert decision.standings[1].score == pytest.approx(20 * 1.25 * 0.9)


@pytest.mark.requirement("AD-17.1")
def test_buckets_come_in_their_order_and_the_unhealthy_never() -> None:
    degraded = near("degraded", 1.0, workers=4, healthy_workers=1)
    lost = near("lost", 1.0, is_reachable=False)
    busy, healthy = near("busy", 1.0, free=0), near("healthy", 300.0)
    decision = once(degraded, lost, busy, healthy)
    assert decision.bucket is DatacenterHealth.HEALTHY
    assert decision.primaries == ("healthy",)
    assert decision.fallback_chain == ("busy", "degraded")
    assert once(degraded, lost, busy).primaries == ("busy",)
    assert once(degraded, lost).primaries == ("degraded",)
    nobody = once(lost, near("empty", managers=0, healthy_managers=0))
    assert (nobody.cause, nobody.primaries, nobody.fallback_chain) == (Cause.NONE_USABLE, (), ())
    assert nobody.reason == (
        "no datacenter can be used: lost: it is unhealthy (it cannot be reached); "
        "empty: none of its managers is connected (it has no managers)"
    )


def test_what_excludes_is_named() -> None:
    decision = once(
        near("a"),
        near("b", managers=0, healthy_managers=0),
        near("c", open_circuits=1),
        near("d", is_reachable=False),
        request=RoutingRequest(exclude=frozenset({"a"})),
    )
    assert [standing.exclusion for standing in decision.standings] == [
        Exclusion.REQUESTED,
        Exclusion.NO_MANAGERS,
        Exclusion.CIRCUITS_OPEN,
        Exclusion.UNHEALTHY,
    ]


def test_a_preference_holds_within_the_bucket_only() -> None:
    wish = RoutingRequest(preferred=frozenset({"busy"}))
    assert once(near("busy", 1.0, free=0), near("healthy", 300.0), request=wish).primaries == ("healthy",)


def test_what_the_bucket_lacks_comes_from_the_chain() -> None:
    decision = once(near("busy", free=0), near("one"), near("two", 20.0), request=RoutingRequest(count=3))
    assert decision.primaries == ("one", "two")
    assert decision.chosen(3) == ("one", "two", "busy")


def test_every_datacenter_that_can_be_used_is_used_also_of_lower_buckets() -> None:
    every = RoutingRequest(scope=RoutingScope.ALL)
    decision = once(
        near("busy", free=0), near("far", 90.0), near("near"), near("gone", is_reachable=False), request=every
    )
    assert (decision.primaries, decision.fallback_chain) == (("near", "far", "busy"), ())
    assert decision.reason == "near, far, busy: every datacenter that can be used"
    assert [why(decision, standing) for standing in decision.standings] == [
        *["every datacenter that can be used"] * 3,
        "it is unhealthy (it cannot be reached)",
    ]
    assert once(request=every).reason == "no datacenter can be used: none has registered"


def test_what_a_job_requires_is_used_whole_or_not_at_all() -> None:
    both = RoutingRequest(scope=RoutingScope.REQUIRED, required=frozenset({"full", "near"}))
    decision = once(near("full", free=0), near("near"), near("other", 1.0), request=both)
    assert (decision.primaries, decision.fallback_chain) == (("near", "full"), ())
    assert why(decision, decision.standings[2]) == "the job requires others"
    router = JobRouter()
    lacking = router.decide("job", both, [near("full", workers=0, healthy_workers=0), near("near"), near("other")], 0.0)
    assert (lacking.cause, lacking.primaries) == (Cause.TOO_FEW, ())
    assert lacking.reason == "too few datacenters can be used, 1 of 2: full: it is unhealthy (it has no workers)"
    assert (router.job_count, router.placement_count) == (0, 0)


@pytest.mark.requirement("AD-36.3")
def test_without_coordinates_ranking_is_by_capacity_then_queue_then_circuits_and_nobody_is_excluded() -> None:
    unknown = [
        near("roomy", None, free=9, total=64),
        near("queued", None, queue=3),
        near("cut", None, managers=4, healthy_managers=4, open_circuits=1),
        near("plain", None, managers=4, healthy_managers=4),
        near("vague", 1.0, free=1).__class__("vague", round_trip=RoundTrip(1.0, samples=1)),
    ]
    decision = once(*unknown)
    assert decision.ranking is Ranking.BOOTSTRAP
    assert (*decision.primaries, *decision.fallback_chain) == ("roomy", "plain", "cut", "queued", "vague")
    mixed = once(near("known", 250.0), near("unknown", None))
    assert mixed.ranking is Ranking.SCORE
    assert (*mixed.primaries, *mixed.fallback_chain) == ("known", "unknown")


class Steps:
    """One job, decided again and again between two datacenters."""

    def __init__(self) -> None:
        self.router = JobRouter()

    def at(self, now: float, east: float, west: float, **fields: bool) -> tuple[str, Cause]:
        pair = [near("east", east, **fields), near("west", west)]
        decision = self.router.decide("job", ONE, pair, now)
        return decision.primaries[0], decision.cause


@pytest.mark.requirement("AD-36.2")
def test_a_job_is_held_then_moves_for_a_fifth_and_is_forced_out_by_half_as_much_again() -> None:
    held = Steps()
    assert held.at(0, 100, 110) == ("east", Cause.FIRST)
    assert held.at(29, 100, 80) == ("east", Cause.KEPT)
    assert held.at(30, 100, 81) == ("east", Cause.KEPT)
    assert held.at(31, 100, 80) == ("west", Cause.IMPROVED)
    assert held.at(32, 60, 80) == ("west", Cause.KEPT)
    forced = Steps()
    forced.at(0, 100, 110)
    assert forced.at(1, 165, 110) == ("east", Cause.KEPT)
    assert forced.at(10.9, 165, 110) == ("east", Cause.KEPT)
    assert forced.at(11, 165, 110)[0] == "west"
    interrupted = Steps()
    interrupted.at(0, 100, 110)
    interrupted.at(1, 165, 110)
    assert interrupted.at(5, 164, 110)[0] == "east"
    assert interrupted.at(11.1, 165, 110)[0] == "east"
    dropped = Steps()
    dropped.at(0, 100, 110)
    assert dropped.at(1, 100, 110, is_reachable=False) == ("west", Cause.FORCED)
    failed = Steps()
    failed.at(0, 100, 110)
    failed.router.fail("east", 1.0)
    assert failed.at(1, 100, 110) == ("west", Cause.FORCED)
    assert failed.at(60, 100, 190)[0] == "west"
    assert failed.at(121, 100, 190) == ("east", Cause.IMPROVED)


@pytest.mark.requirement("AD-36.4")
def test_ten_thousand_jobs_leave_nothing_behind() -> None:
    router, candidates = JobRouter(), [near("east"), near("west", 20.0)]
    for number in range(10_000):
        router.decide(f"job-{number}", ONE, candidates, number / 10)
        router.observe(f"datacenter-{number}", 5.0, number / 10)
        router.fail(f"datacenter-{number}", number / 10)
        if number >= 10:
            router.forget(f"job-{number - 10}")
    assert router.job_count == 10
    assert router.datacenter_count <= 3_001
    assert router.placement_count <= 60
    router.observe("last", 5.0, 10_000.0)
    assert router.datacenter_count == 1


def test_what_was_forgotten_is_decided_afresh() -> None:
    steps = Steps()
    steps.at(0, 100, 110)
    steps.router.forget("job")
    assert steps.at(1, 100, 80) == ("west", Cause.FIRST)


def full(name: str, rtt_ms: float, ends_in: float, total: int = 8) -> DatacenterCandidate:
    capacity = DatacenterCapacity(total, 1, 0, (RunningShard(total - 1, ends_in),))
    return DatacenterCandidate(name, capacity=capacity, round_trip=RoundTrip(rtt_ms))


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        (full("first", 10.0, 60.1), near("second", 110.0), "second"),
        (near("first", 10.0), near("second", 110.0), "first"),
        (full("first", 10.0, 60.0), near("second", 110.0), "first"),
        (full("first", 10.0, 600.0), full("second", 110.0, 1.0), "first"),
        (full("first", 10.0, 600.0), near("second", 110.1), "first"),
    ],
)
def test_a_job_spills_over_exactly_under_the_four_conditions(
    first: DatacenterCandidate, second: DatacenterCandidate, place: str
) -> None:
    decision = once(first, second, request=RoutingRequest(cores=4))
    assert decision.primaries == (place,)
    assert (decision.cause is Cause.SPILLED) == (place == "second")


def test_learnt_latency_moves_new_jobs() -> None:
    router, pair = JobRouter(), [near("east", 50.0), near("west", 60.0)]
    for _ in range(10):
        router.observe("east", 500.0, 0.0)
    assert router.decide("new", ONE, pair, 0.0).primaries == ("west",)
    assert router.decide("later", ONE, pair, 300.0).primaries == ("east",)


def test_jobs_sent_since_a_datacenter_last_spoke_count_as_its_load() -> None:
    router, pair = JobRouter(), [near("east", 50.0, free=6), near("west", 60.0, free=8)]
    silent = [replace(one, heard_seconds_ago=1.0) for one in pair]
    assert [router.decide(f"job-{n}", ONE, silent, n / 100).primaries[0] for n in range(12)].count("east") < 12
    assert router.decide("later", ONE, pair, 2.0).primaries == ("east",)


def test_two_candidates_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="the same name"):
        once(near("east"), near("east"))


def test_nothing_known_of_running_work_means_that_the_wait_cannot_be_told() -> None:
    assert once(near("east", free=0)).standings[0].wait_seconds == math.inf


def test_a_job_that_its_datacenter_counts_is_not_counted_twice() -> None:
    router, far = JobRouter(), near("far", 300.0)
    asks_for_two = RoutingRequest(cores=2)

    def goes_to(job_id: str, free: int, heard_at: float, now: float) -> tuple[str, ...]:
        candidate = near("near", free=free, total=4, heard_seconds_ago=now - heard_at)
        return router.decide(job_id, asks_for_two, [candidate, far], now).primaries

    assert goes_to("first", free=4, heard_at=-0.5, now=0.0) == ("near",)
    router.accepted("first", "near")
    # Its cores have changed hands, which was told at once.
    assert goes_to("second", free=2, heard_at=0.1, now=0.9) == ("near",)


def test_a_job_counts_until_its_datacenter_can_have_told_of_it() -> None:
    router = JobRouter()

    def free_cores_are_gone(job_id: str, heard_at: float, now: float) -> bool:
        candidate = near("near", free=2, total=4, heard_seconds_ago=now - heard_at)
        decision = router.decide(job_id, RoutingRequest(cores=2), [candidate], now)
        return decision.bucket is DatacenterHealth.BUSY

    assert not free_cores_are_gone("first", heard_at=-0.5, now=0.0)
    router.accepted("first", "near")
    router.accepted("first", "near")
    router.accepted("unknown", "near")
    assert free_cores_are_gone("second", heard_at=-0.5, now=0.2)
    # The second one was not taken over: it may be on its way.
    assert free_cores_are_gone("third", heard_at=0.3, now=0.4)
    assert not free_cores_are_gone("fourth", heard_at=1.0, now=1.1)


def test_a_job_that_was_over_before_its_acceptance_was_heard_takes_no_cores() -> None:
    router = JobRouter()

    def decided(job_id: str, heard_at: float, now: float) -> DatacenterHealth | None:
        candidate = near("near", free=1, total=1, heard_seconds_ago=now - heard_at)
        return router.decide(job_id, ONE, [candidate], now).bucket

    assert decided("brief", heard_at=-0.5, now=0.0) is DatacenterHealth.HEALTHY
    router.forget("brief")
    assert decided("next", heard_at=0.3, now=0.4) is DatacenterHealth.HEALTHY


def test_a_look_says_what_a_decision_would_and_changes_nothing() -> None:
    router = JobRouter()
    candidates = [near("a"), near("b", 20.0)]
    seen = router.look("job", ONE, candidates, 0.0)
    assert (router.job_count, router.placement_count) == (0, 0)
    assert router.decide("job", ONE, candidates, 0.0) == seen
    without = RoutingRequest(count=1, exclude=frozenset({"a"}))
    assert router.look("job", without, candidates, 0.1).primaries == ("b",)
    assert router.look("job", RoutingRequest(count=3), candidates, 0.1).primaries == ()
    assert router.placement_count == 1
    assert router.decide("job", ONE, candidates, 0.2).cause is Cause.KEPT


def test_a_job_that_was_moved_is_held_where_it_is_and_counts_there() -> None:
    router = JobRouter()
    candidates = [near("a"), near("b", 20.0), near("c", 21.0)]
    router.decide("job", ONE, candidates, 0.0)
    router.move("job", "a", "c", 1, 0.1)
    assert router.placement_count == 2
    decision = router.decide("job", ONE, candidates, 0.2)
    assert (decision.primaries, decision.cause) == (("c",), Cause.KEPT)
    router.forget("job")
    assert router.job_count == 0


def test_a_job_counts_in_every_datacenter_that_it_was_sent_to() -> None:
    router, both = JobRouter(), RoutingRequest(count=2)
    group = [
        near("healthy"),
        near("low", 20.0, is_leader_overloaded=True),
        near("lower", 21.0, is_leader_overloaded=True),
    ]
    sent = [router.decide(f"job-{number}", both, group, 0.0).chosen(2)[1] for number in range(8)]
    assert {sent.count("low"), sent.count("lower")} == {4}
    assert router.placement_count == 16
    router.move("job-0", sent[0], "elsewhere", 1, 0.0)
    assert router.placement_count == 17
    for number in range(8):
        router.forget(f"job-{number}")
    assert router.job_count == 0


def test_a_decision_that_finds_too_few_says_so_of_each() -> None:
    decision = once(near("one"), near("lost", is_reachable=False), request=RoutingRequest(count=2))
    assert decision.cause is Cause.TOO_FEW
    assert [why(decision, standing) for standing in decision.standings] == [
        "could be used, and is not enough",
        "it is unhealthy (it cannot be reached)",
    ]


def test_a_way_of_no_length_is_no_setting() -> None:
    with pytest.raises(ValueError, match="must be above 0: rtt_floor_ms"):
        RoutingConfig(rtt_floor_ms=0.0)
