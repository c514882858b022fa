"""Jobs that leave the choice of their datacenters to the gate."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import hyperscale.gate
from hyperscale.gate.models.orders import CallOrigin
from hyperscale.gate.routing import chosen
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import gate_service_pb2, job_pb2, node_pb2, routing_pb2
from tests.support.waiting import until
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, heartbeat, submission


def job(**selection: Any) -> job_pb2.JobSubmission:
    asked = submission()
    asked.datacenters.CopyFrom(job_pb2.DatacenterSelection(**selection))
    return asked


def tell(
    gate: GateInMemory,
    datacenter: str,
    *,
    free: int = 2,
    total: int = 8,
    queued: int = 0,
    workers: int = 1,
    overloaded: int = 0,
    overload: node_pb2.OverloadState.ValueType = node_pb2.OVERLOAD_STATE_HEALTHY,
) -> None:
    news = heartbeat(datacenter, overload=overload)
    news.overloaded_worker_count = overloaded
    news.available_cores, news.total_cores, news.queued_jobs, news.worker_count = free, total, queued, workers
    news.healthy_worker_count = workers
    gate.report(datacenter, heartbeat=news)


async def status_of(gate: GateInMemory, job_id: str) -> job_pb2.GlobalJobStatus:
    return await gate.node.desk.get(gate_service_pb2.GetJobRequest(job_id=job_id), CallOrigin.CLIENT)


async def places(gate: GateInMemory, job_id: str) -> list[str]:
    return [part.datacenter for part in (await status_of(gate, job_id)).datacenters]


async def test_a_job_goes_where_there_is_room_and_says_why(start_gate: StartGate) -> None:
    gate = await start_gate("east", "north", "west")
    tell(gate, "east", free=2)
    tell(gate, "north", free=0, queued=3)
    tell(gate, "west", free=6)
    job_id = await gate.submit(job(count=1))
    assert await places(gate, job_id) == ["west"]
    routing = (await status_of(gate, job_id)).routing
    assert [(one.datacenter, one.outcome, one.health) for one in routing.candidates] == [
        ("west", routing_pb2.ROUTING_OUTCOME_CHOSEN, routing_pb2.ROUTING_HEALTH_HEALTHY),
        ("east", routing_pb2.ROUTING_OUTCOME_FALLBACK, routing_pb2.ROUTING_HEALTH_HEALTHY),
        ("north", routing_pb2.ROUTING_OUTCOME_FALLBACK, routing_pb2.ROUTING_HEALTH_BUSY),
    ]
    assert routing.candidates[2].reason == "BUSY, and HEALTHY ones come first: it has no free cores"
    await gate.dispatched(job_id, "west")
    gate.finish("west", job_id)
    await gate.ended(job_id)
    assert (await status_of(gate, job_id)).routing == routing


async def test_a_job_goes_where_workers_and_managers_keep_up(start_gate: StartGate) -> None:
    gate = await start_gate("east", "north", "south", "west")
    tell(gate, "east", free=8, workers=10, overloaded=5)
    tell(gate, "north", free=8, workers=10, overload=node_pb2.OVERLOAD_STATE_OVERLOADED)
    tell(gate, "south", free=8, workers=10, overloaded=8)
    tell(gate, "west", free=1, workers=10, overloaded=2, overload=node_pb2.OVERLOAD_STATE_STRESSED)

    job_id = await gate.submit(job(count=1))

    routing = (await status_of(gate, job_id)).routing
    assert {one.datacenter: routing_pb2.RoutingHealth.Name(one.health) for one in routing.candidates} == {
        "east": "ROUTING_HEALTH_DEGRADED",
        "north": "ROUTING_HEALTH_DEGRADED",
        "south": "ROUTING_HEALTH_UNHEALTHY",
        "west": "ROUTING_HEALTH_HEALTHY",
    }
    reasons = {one.datacenter: one.reason for one in routing.candidates}
    assert "5 of 10 workers are overloaded" in reasons["east"]
    assert "its leader is overloaded" in reasons["north"]
    assert "8 of 10 workers are overloaded" in reasons["south"]
    assert {one.datacenter: round(one.score.severity, 3) for one in routing.candidates if one.HasField("score")} == {
        "east": 1.25,
        "north": 1.5,
        "west": 1.1,
    }


@pytest.mark.parametrize("selection", [{"count": 1}, {"required": ["east"]}, {}])
async def test_a_small_cluster_whose_workers_do_not_keep_up_takes_jobs_and_says_what_they_wait_for(
    start_gate: StartGate, selection: dict[str, Any]
) -> None:
    gate = await start_gate("east")
    tell(gate, "east", free=0, overloaded=1)

    job_id = await gate.submit(job(**selection))

    assert await places(gate, job_id) == ["east"]
    (candidate,) = (await status_of(gate, job_id)).routing.candidates
    assert candidate.health == routing_pb2.ROUTING_HEALTH_DEGRADED
    await gate.dispatched(job_id, "east")
    waiting = job_pb2.WorkflowStatusInfo(
        workflow_name="shop", status=job_pb2.WORKFLOW_STATUS_PENDING, reason="no worker takes work at present"
    )
    gate.progress("east", job_id, 1, 0, status=job_pb2.JOB_STATUS_QUEUED, workflows=[waiting])
    (part,) = (await status_of(gate, job_id)).datacenters
    assert (part.status, part.reason) == (job_pb2.JOB_STATUS_QUEUED, "no worker takes work at present")


async def test_the_number_the_wishes_and_the_exclusions_are_kept(start_gate: StartGate) -> None:
    gate = await start_gate("east", "north", "west")
    for name in ("east", "north", "west"):
        tell(gate, name)
    for _ in range(5):
        job_id = await gate.submit(job(count=1, preferred=["north"]))
        assert await places(gate, job_id) == ["north"]
        job_id = await gate.submit(job(count=2, exclude=["north"]))
        assert sorted(await places(gate, job_id)) == ["east", "west"]


async def test_too_few_usable_ones_refuse_the_job_with_the_reason_of_each(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    tell(gate, "east", workers=0, free=0, total=0)
    tell(gate, "west")
    with pytest.raises(HyperscaleError) as caught:
        await gate.submit(job(count=1, exclude=["west"]))
    assert caught.value.reason is ErrorReason.NO_USABLE_DATACENTER
    assert caught.value.message == (
        "no datacenter can be used: east: it is unhealthy (it has no workers); west: the job excludes it"
    )
    assert gate.node.jobs.routing.job_count == 0


async def test_unknown_names_are_refused_with_their_paths(gate: GateInMemory) -> None:
    with pytest.raises(HyperscaleError) as caught:
        await gate.submit(job(count=1, preferred=["mars"], exclude=["east", "venus"]))
    assert caught.value.reason is ErrorReason.UNKNOWN_DATACENTER
    paths = [violation.path for violation in caught.value.violations]
    assert paths == ["datacenters.preferred[0]", "datacenters.exclude[1]"]


@pytest.mark.requirement("AD-51.1")
@pytest.mark.parametrize(
    ("selection", "scope", "count", "expected"),
    [
        ({"required": ["west", "east"]}, "REQUIRED", 2, ["west", "east"]),
        ({}, "ALL", 0, ["east", "north", "west"]),
        ({"count": 3}, "COUNT", 3, ["west", "east", "north"]),
    ],
)
async def test_every_job_has_a_decision_whatever_it_asks_for(
    start_gate: StartGate, selection: dict[str, Any], scope: str, count: int, expected: list[str]
) -> None:
    gate = await start_gate("east", "north", "west")
    tell(gate, "west", free=6)
    tell(gate, "north", free=0)
    job_id = await gate.submit(job(**selection))
    assert await places(gate, job_id) == expected
    decision = (await status_of(gate, job_id)).routing
    assert (decision.scope, decision.count) == (routing_pb2.RoutingScope.Value(f"ROUTING_SCOPE_{scope}"), count)
    assert sorted(chosen(decision)) == sorted(expected)
    assert gate.node.jobs.routing.job_count == 1


async def test_what_cannot_be_used_is_left_out_of_all_and_named(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    tell(gate, "east", workers=0, free=0, total=0)
    job_id = await gate.submit(job())
    assert await places(gate, job_id) == ["west"]
    west, east = (await status_of(gate, job_id)).routing.candidates
    assert (west.outcome, west.reason) == (routing_pb2.ROUTING_OUTCOME_CHOSEN, "every datacenter that can be used")
    assert (east.outcome, east.reason) == (
        routing_pb2.ROUTING_OUTCOME_EXCLUDED,
        "it is unhealthy (it has no workers)",
    )


async def test_a_required_datacenter_that_cannot_be_used_refuses_the_job_and_is_named(start_gate: StartGate) -> None:
    gate = await start_gate("east", "north", "west")
    for name in ("east", "north"):
        tell(gate, name, workers=0, free=0, total=0)
    with pytest.raises(HyperscaleError) as caught:
        await gate.submit(job(required=["west", "east"]))
    assert caught.value.reason is ErrorReason.NO_USABLE_DATACENTER
    assert caught.value.message == (
        "too few datacenters can be used, 1 of 2: east: it is unhealthy (it has no workers)"
    )
    assert gate.node.jobs.routing.job_count == 0


@pytest.mark.parametrize("selection", [{"required": ["east"]}, {"count": 1}, {}])
async def test_a_worker_that_comes_while_the_gate_looks_again_saves_the_job(
    start_gate: StartGate, selection: dict[str, Any]
) -> None:
    gate = await start_gate("east", routing_patience_seconds=30)
    tell(gate, "east", workers=0, free=0, total=0)
    submitting = asyncio.create_task(gate.submit(job(**selection)))
    await asyncio.sleep(0.15)
    assert not submitting.done()
    tell(gate, "east")
    assert await places(gate, await submitting) == ["east"]


async def test_a_job_for_all_waits_for_a_datacenter_that_has_just_come_but_goes_without_it_in_the_end(
    start_gate: StartGate,
) -> None:
    gate = await start_gate("east", "west", routing_patience_seconds=0.3)
    tell(gate, "east", workers=0, free=0, total=0)
    began = time.monotonic()
    job_ids = await asyncio.gather(gate.submit(job()), gate.submit(job()))
    # Looks are a tenth of a second apart, and the last one is within the patience.
    assert time.monotonic() - began >= 0.2
    assert [await places(gate, job_id) for job_id in job_ids] == [["west"], ["west"]]
    tell(gate, "east")
    assert await places(gate, await gate.submit(job())) == ["east", "west"]


async def test_a_refusal_comes_when_the_patience_is_over(start_gate: StartGate) -> None:
    gate = await start_gate("east", routing_patience_seconds=0.3)
    tell(gate, "east", workers=0, free=0, total=0)
    began = time.monotonic()
    answers = await asyncio.gather(*(gate.submit(job()) for _ in range(150)), return_exceptions=True)
    assert 0.2 <= time.monotonic() - began < 20
    assert {answer.reason for answer in answers if isinstance(answer, HyperscaleError)} == {
        ErrorReason.NO_USABLE_DATACENTER
    }
    assert gate.node.jobs.routing.job_count == 0


@pytest.mark.requirement("AD-36.4")
async def test_nothing_is_remembered_of_a_submission_that_is_broken_off(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", routing_patience_seconds=60)
    tell(gate, "west", workers=0, free=0, total=0)
    waiting = asyncio.create_task(gate.submit(job()))
    await until(lambda: gate.node.jobs.routing.job_count == 1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert gate.node.jobs.routing.job_count == 0


@pytest.mark.requirement("AD-36.4")
async def test_nothing_is_remembered_of_jobs_that_have_ended(start_gate: StartGate) -> None:
    gate = await start_gate("east")
    tell(gate, "east")
    job_id = await gate.submit(job(count=1))
    assert gate.node.jobs.routing.job_count == 1
    await gate.dispatched(job_id, "east")
    gate.finish("east", job_id)
    await gate.ended(job_id)
    await until(lambda: gate.node.jobs.routing.job_count == 0)


@pytest.mark.requirement("AD-51.1")
def test_the_router_is_the_only_one_to_whom_a_gate_puts_a_choice_between_datacenters() -> None:
    sources = {path.name: path.read_text() for path in Path(hyperscale.gate.__path__[0]).rglob("*.py")}
    assert [name for name, text in sources.items() if "JobRouter(" in text] == ["routing.py"]
    # Whoever goes through the datacenters puts them before the router, shows them, or asks all of them.
    through_all = {
        name for name, text in sources.items() if ".datacenter_names" in text or "registry.datacenters()" in text
    }
    shown_or_asked = {"census.py", "federation.py", "overview.py", "registry.py"}
    checked_for_being_known = {"registration.py", "submission.py"}
    assert through_all == {"candidates.py"} | shown_or_asked | checked_for_being_known


@pytest.mark.requirement("AD-51.1")
async def test_a_teardown_runs_where_the_router_says(start_gate: StartGate) -> None:
    gate = await start_gate("east", "north", "west")
    routing = gate.node.jobs.routing
    assert routing.one_of("job", ["north", "east", "west"]) == "north"
    tell(gate, "north", workers=0, free=0, total=0)
    tell(gate, "west", free=6)
    assert routing.one_of("job", ["north", "east", "west"]) == "west"
    tell(gate, "west", workers=0, free=0, total=0)
    assert routing.one_of("job", ["north", "west"]) == "north"
    assert routing.job_count == 0
