"""What holds for every decision."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hyperscale.routing.models.candidates import (
    DatacenterCandidate,
    DatacenterCapacity,
    DatacenterStaff,
    RoundTrip,
    RoutingRequest,
    RoutingScope,
)
from hyperscale.routing.models.decisions import Exclusion, RoutingDecision
from hyperscale.routing.router import JobRouter

counts = st.integers(0, 4)
round_trips = st.builds(RoundTrip, st.floats(0, 1000), st.floats(0, 100), st.integers(0, 20), st.floats(0, 2))
staffs = st.builds(DatacenterStaff, counts, counts, counts, counts, counts, counts, counts)
capacities = st.builds(DatacenterCapacity, st.integers(0, 16), st.integers(0, 16), st.integers(0, 30))
candidates = st.builds(
    DatacenterCandidate,
    name=st.sampled_from("abcdefgh"),
    staff=staffs,
    capacity=capacities,
    is_reachable=st.booleans(),
    heard_seconds_ago=st.floats(0, 30),
    round_trip=st.none() | round_trips,
)
groups = st.lists(candidates, max_size=8, unique_by=lambda candidate: candidate.name)
requests = st.builds(
    RoutingRequest,
    count=st.integers(1, 4),
    cores=st.integers(1, 8),
    preferred=st.frozensets(st.sampled_from("abcdefgh")),
    exclude=st.frozensets(st.sampled_from("abcdefgh"), max_size=3),
)
histories = st.lists(st.tuples(groups, st.floats(0, 40), st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=5)


def decisions(
    request: RoutingRequest, history: list[tuple[list[DatacenterCandidate], float, str]]
) -> list[RoutingDecision]:
    """One job decided time and again, with failures between."""
    router, now, made = JobRouter(), 0.0, []
    for group, pause, failing in history:
        now += pause
        if failing:
            router.fail(failing, now)
        made.append(router.decide("job", request, group, now))
    return made


@given(requests, histories)
def test_no_lower_bucket_is_chosen_while_a_higher_one_has_a_candidate(
    request: RoutingRequest, history: list[tuple[list[DatacenterCandidate], float, str]]
) -> None:
    for decision in decisions(request, history):
        usable = {s.name: s.finding.health for s in decision.standings if s.exclusion is None}
        best = min(usable.values(), default=None)
        assert decision.bucket == best
        assert all(usable[name] == best for name in decision.primaries)
        of_best = sum(health == best for health in usable.values())
        assert len(decision.primaries) == (min(request.count, of_best) if len(usable) >= request.count else 0)
        line = decision.chosen(len(usable))
        assert sorted(line) == sorted(usable)
        assert [usable[name] for name in line] == sorted(usable[name] for name in line)


scopes = st.builds(
    RoutingRequest,
    count=st.integers(1, 4),
    scope=st.sampled_from(RoutingScope),
    required=st.frozensets(st.sampled_from("abcdefgh"), min_size=1),
)


@given(scopes, groups)
def test_a_job_runs_where_it_asks_to_or_nowhere_and_never_where_it_cannot(
    request: RoutingRequest, group: list[DatacenterCandidate]
) -> None:
    router = JobRouter()
    decision = router.decide("job", request, group, 0.0)
    usable = {standing.name for standing in decision.standings if standing.exclusion is None}
    if len(usable) < request.fewest:
        assert (decision.primaries, decision.chosen(len(group))) == ((), decision.fallback_chain)
        assert (router.job_count, router.placement_count) == (0, 0)
    elif request.scope is not RoutingScope.COUNT:
        assert set(decision.primaries) == usable
        assert router.placement_count == len(usable)
    if request.scope is RoutingScope.REQUIRED:
        assert usable <= request.required


@given(requests, histories)
def test_the_same_facts_lead_to_the_same_decisions(
    request: RoutingRequest, history: list[tuple[list[DatacenterCandidate], float, str]]
) -> None:
    assert decisions(request, history) == decisions(request, history)


@given(requests, groups)
def test_a_missing_coordinate_never_excludes(request: RoutingRequest, group: list[DatacenterCandidate]) -> None:
    known = JobRouter().decide("job", request, group, 0.0)
    unknown = JobRouter().decide("job", request, [replace(one, round_trip=None) for one in group], 0.0)
    assert [s.exclusion for s in unknown.standings] == [s.exclusion for s in known.standings]
    assert all(s.exclusion in set(Exclusion) | {None} for s in unknown.standings)


@given(candidates, counts, st.integers(0, 16), st.integers(0, 30), counts)
def test_more_load_never_lowers_a_score(
    candidate: DatacenterCandidate, overloaded: int, taken: int, queued: int, circuits: int
) -> None:
    capacity, staff = candidate.capacity, candidate.staff
    loaded = replace(
        candidate,
        capacity=replace(capacity, free_cores=max(0, capacity.free_cores - taken), queue=capacity.queue + queued),
        staff=replace(
            staff,
            overloaded_workers=staff.overloaded_workers + overloaded,
            open_circuits=staff.open_circuits + circuits,
        ),
    )
    before, after = (
        JobRouter().decide("job", RoutingRequest(), [one], 0.0).standings[0].score for one in (candidate, loaded)
    )
    assert after >= before


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=8), st.integers(0, 7), st.floats(0, 1000))
def test_a_longer_way_never_improves_the_rank_among_equals(rtts: list[float], index: int, more_ms: float) -> None:
    index %= len(rtts)

    def rank(ways: list[float]) -> int:
        group = [DatacenterCandidate(str(at), round_trip=RoundTrip(way)) for at, way in enumerate(ways)]
        return JobRouter().decide("job", RoutingRequest(), group, 0.0).chosen(len(group)).index(str(index))

    longer = [way + more_ms * (at == index) for at, way in enumerate(rtts)]
    assert rank(longer) >= rank(rtts)
