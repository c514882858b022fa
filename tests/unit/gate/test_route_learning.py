"""What the gate learns of datacenters from handing jobs to them."""

from __future__ import annotations

import pytest

from hyperscale.gate.acceptance_times import AcceptanceTimes
from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1 import job_pb2, routing_pb2
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, refusal, submission
from tests.unit.gate.test_routing import job, status_of, tell


async def hand_over(gate: GateInMemory, *datacenters: str) -> None:
    """A job that each of them takes over and completes."""
    job_id = await gate.submit(submission(*datacenters))
    await gate.dispatched(job_id, *datacenters)
    await until(lambda: gate.status(job_id) == job_pb2.JOB_STATUS_QUEUED)
    for name in datacenters:
        gate.finish(name, job_id)
    await gate.ended(job_id)


async def shown(gate: GateInMemory) -> dict[str, routing_pb2.RoutingCandidate]:
    routing = (await status_of(gate, await gate.submit(job(count=1)))).routing
    return {candidate.datacenter: candidate for candidate in routing.candidates}


@pytest.mark.requirement("AD-45.1")
async def test_the_more_jobs_a_datacenter_has_taken_over_the_more_their_times_count(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    for name in ("east", "west"):
        tell(gate, name)
    gate.datacenters.delays_seconds["west:1"] = 0.02
    expected_ms = [(await shown(gate))["east"].score.latency_ms]
    for _ in range(10):
        await hand_over(gate, "east", "west")
        expected_ms.append((await shown(gate))["east"].score.latency_ms)
    assert expected_ms[0] == 200 > expected_ms[1] > expected_ms[3] > expected_ms[-1]
    candidates = await shown(gate)
    assert 5 <= candidates["east"].score.latency_ms < candidates["west"].score.latency_ms < 200
    assert candidates["west"].score.latency_ms >= 20


@pytest.mark.requirement("AD-36.2")
async def test_a_datacenter_that_failed_is_avoided_for_the_cooldown_and_then_used_again(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=0.1, routing_cooldown_seconds=0.5)
    tell(gate, "east", free=6)
    tell(gate, "west", free=2)
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.DATACENTER_UNAVAILABLE)
    await gate.ended(await gate.submit(submission("east")))
    del gate.datacenters.answers["east:1"]
    candidates = await shown(gate)
    assert candidates["west"].outcome == routing_pb2.ROUTING_OUTCOME_CHOSEN
    assert candidates["east"].score.cooldown == 2

    async def is_back() -> bool:
        return (await shown(gate))["east"].outcome == routing_pb2.ROUTING_OUTCOME_CHOSEN

    await until_answer(is_back)


async def test_a_datacenter_that_was_lost_with_a_job_is_avoided(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", manager_loss_grace_seconds=0.3)
    job_id = await gate.submit(submission("east"))
    await gate.dispatched(job_id, "east")
    gate.streams["east"].close()
    await gate.ended(job_id)
    await gate.connect("east", "west")
    tell(gate, "east", free=6)
    tell(gate, "west", free=2)
    assert (await shown(gate))["east"].score.cooldown == 2


def test_what_every_datacenter_needs_is_left_out() -> None:
    times = AcceptanceTimes(shortest_ms=5)
    near = [times.latency_ms(took_ms, 2) for took_ms in (14, 20, 10, 25)]
    far = [times.latency_ms(took_ms, 40) for took_ms in (55, 60, 50)]
    assert near == [5, 5, 5, 5]
    assert far == [40, 40, 40]
    assert times.latency_ms(1000, 2) > 900


def test_without_a_round_trip_the_time_itself_counts() -> None:
    times = AcceptanceTimes(shortest_ms=5)
    assert [times.latency_ms(took_ms, None) for took_ms in (1, 30)] == [5, 30]


async def test_a_job_that_a_heartbeat_counts_already_is_not_counted_twice(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    tell(gate, "east", free=2, total=4)
    assert (await shown(gate))["east"].health == routing_pb2.ROUTING_HEALTH_HEALTHY
    await until(lambda: bool(gate.datacenters.dispatches))
    (job_id,) = (job_id for _, job_id in gate.datacenters.dispatches)
    await until(lambda: gate.status(job_id) == job_pb2.JOB_STATUS_QUEUED)
    tell(gate, "east", free=1, total=4)
    assert (await shown(gate))["east"].health == routing_pb2.ROUTING_HEALTH_HEALTHY
