"""A gate obeys its router, however absurdly that one chooses: whoever else chose would be found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import pytest

from hyperscale.routing.models.candidates import RoutingScope
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import RoutingDecision
from hyperscale.routing.router import JobRouter
from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1 import job_pb2
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, refusal
from tests.unit.gate.test_fallback import before_three, job
from tests.unit.gate.test_routing import places, tell
from tests.unit.gate.test_stages import made, staged


class PerverseRouter:
    """A router that prefers what is worst, and runs in one datacenter what is to run in all."""

    def __init__(self, config: RoutingConfig) -> None:
        self._router = JobRouter(config)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._router, name)
        return _perverted(found) if callable(found) else found


def _perverted(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*given: Any) -> Any:
        answer = method(*given)
        return _worst_first(answer, given[1].scope) if isinstance(answer, RoutingDecision) else answer

    return call


def _worst_first(decision: RoutingDecision, scope: RoutingScope) -> RoutingDecision:
    line = decision.chosen(len(decision.standings))[::-1]
    count = 1 if scope is RoutingScope.ALL else len(decision.primaries)
    return replace(decision, primaries=line[:count], fallback_chain=line[count:])


@pytest.fixture
async def gate(start_gate: StartGate, monkeypatch: pytest.MonkeyPatch) -> GateInMemory:
    """A gate with a perverse router, before east, which anybody would take, north, and west, which nobody would."""
    monkeypatch.setattr("hyperscale.gate.routing.JobRouter", PerverseRouter)
    return await before_three(start_gate, free_cores=(8, 4, 1))


def used(gate: GateInMemory) -> set[str]:
    return {address.partition(":")[0] for address, _ in gate.datacenters.dispatches}


@pytest.mark.requirement("AD-51.1")
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"count": 1}, ["west"]),
        ({"count": 1, "preferred": ["east"]}, ["west"]),
        ({"count": 1, "exclude": ["west"]}, ["north"]),
        ({"count": 2}, ["west", "north"]),
        ({}, ["west"]),
    ],
)
async def test_a_job_runs_where_the_router_says_and_nowhere_else(
    gate: GateInMemory, selection: dict[str, Any], expected: list[str]
) -> None:
    job_id = await gate.submit(job(**selection))
    await gate.dispatched(job_id, *expected)
    assert await places(gate, job_id) == expected
    assert used(gate) == set(expected)


@pytest.mark.requirement("AD-51.1")
async def test_a_part_that_is_not_taken_over_goes_where_the_router_says(gate: GateInMemory) -> None:
    gate.datacenters.answers["west:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    job_id = await gate.submit(job(count=1))
    await gate.dispatched(job_id, "north")
    assert used(gate) == {"north"}


@pytest.mark.requirement("AD-51.1")
async def test_what_runs_once_per_job_runs_where_the_router_says(gate: GateInMemory) -> None:
    asked: job_pb2.JobSubmission = staged()
    asked.datacenters.CopyFrom(job_pb2.DatacenterSelection(count=3))
    job_id = await gate.submit(asked)
    assert await places(gate, job_id) == ["west", "north", "east"]
    await gate.dispatched(f"{job_id}.setup", "west")
    gate.finish("west", f"{job_id}.setup", provided=[made("shop.setup")])
    await gate.dispatched(job_id, "west", "north", "east")
    tell(gate, "west", free=8)
    tell(gate, "east", free=0)
    for name in ("west", "north", "east"):
        gate.finish(name, job_id, requests=100)
    await gate.dispatched(f"{job_id}.teardown", "east")
    assert [address for address, key in gate.datacenters.dispatches if key.endswith(".teardown")] == ["east:1"]
