"""Accepting jobs: faults, limits, and one job per idempotency key."""

import asyncio

import pytest

from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import gate_service_pb2, job_pb2
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, make_gate, submission


async def refused(gate: GateInMemory, job: job_pb2.JobSubmission) -> HyperscaleError:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.submissions.submit(job)
    return caught.value


async def listed(gate: GateInMemory) -> list[str]:
    page = await gate.node.listing.page(gate_service_pb2.ListJobsRequest())
    return [job.job_id for job in page.jobs]


async def test_job_ids_name_region_and_gate(start_gate: StartGate) -> None:
    gate = await start_gate("east", region="eu")
    job_id = await gate.submit(submission())
    region, milliseconds, node, sequence = job_id.split("-")
    assert (region, node, sequence) == ("eu", "g1", "1")
    assert len(milliseconds) == 13


@pytest.mark.requirement("AD-40.1")
async def test_one_key_is_one_job_at_the_same_instant_through_two_gates(start_gate: StartGate) -> None:
    gates = [await start_gate("east", node_id="g1"), await start_gate("east", node_id="g2")]
    job = submission(key="once")
    acks = await asyncio.gather(*(gates[turn % 2].node.submissions.submit(job) for turn in range(20)))
    assert len({ack.SerializeToString(deterministic=True) for ack in acks}) == 1
    assert await listed(gates[0]) == [acks[0].job_id]
    assert sum(len(gate.node.jobs.state) for gate in gates) == 1


@pytest.mark.requirement("AD-40.1")
async def test_one_key_gets_the_same_answer_after_the_job_has_ended_and_the_gate_restarted(
    start_gate: StartGate,
) -> None:
    gate = await start_gate("east")
    ack = await gate.node.submissions.submit(submission(key="once"))
    await gate.dispatched(ack.job_id, "east")
    gate.finish("east", ack.job_id)
    await gate.ended(ack.job_id)
    restarted = await start_gate("east")
    assert await restarted.node.submissions.submit(submission(key="once")) == ack


@pytest.mark.requirement("AD-40.1")
async def test_a_key_for_another_job_is_refused(gate: GateInMemory) -> None:
    job_id = await gate.submit(submission(key="once"))
    error = await refused(gate, submission(key="once", vus=5))
    assert error.reason is ErrorReason.IDEMPOTENCY_KEY_REUSED
    assert await listed(gate) == [job_id]


async def test_jobs_without_a_key_are_different_jobs(gate: GateInMemory) -> None:
    job_ids = [await gate.submit(submission()) for _ in range(3)]
    assert sorted(await listed(gate)) == sorted(job_ids)


async def test_keys_may_be_long_and_look_like_paths(gate: GateInMemory) -> None:
    key = "a/b " * 32
    assert await gate.submit(submission(key=key)) == await gate.submit(submission(key=key))


async def test_every_fault_is_named_at_once(gate: GateInMemory) -> None:
    job = submission(vus=0)
    job.target = "ftp://nowhere"
    error = await refused(gate, job)
    assert error.reason is ErrorReason.INVALID_ARGUMENT
    assert {"target", "workflows[0].constant_vus.vus"} <= {violation.path for violation in error.violations}
    assert await listed(gate) == []


async def test_a_job_above_five_mebibytes_is_refused(gate: GateInMemory) -> None:
    job = submission()
    job.workflows[0].steps[0].http.text = "x" * (6 * 1024 * 1024)
    error = await refused(gate, job)
    assert error.reason is ErrorReason.SUBMISSION_TOO_LARGE
    assert await listed(gate) == []


async def test_an_unknown_datacenter_is_refused_and_the_known_ones_are_named(gate: GateInMemory) -> None:
    error = await refused(gate, submission("east", "mars"))
    assert error.reason is ErrorReason.UNKNOWN_DATACENTER
    for name in ("mars", "east", "west"):
        assert name in error.message
    assert [violation.path for violation in error.violations] == ["datacenters.required[1]"]


async def test_a_datacenter_known_to_another_gate_is_known(start_gate: StartGate) -> None:
    alone = await start_gate(node_id="g1")
    await start_gate("east", node_id="g2")
    error = await refused(alone, submission("east"))
    assert error.reason is ErrorReason.NO_USABLE_DATACENTER
    assert error.message == ("no datacenter can be used: east: none of its managers is connected (it has no managers)")


async def test_without_any_datacenter_jobs_are_refused(start_gate: StartGate) -> None:
    error = await refused(await start_gate(), submission())
    assert error.reason is ErrorReason.NO_USABLE_DATACENTER
    assert error.message == "no datacenter can be used: none has registered"


async def test_too_many_unfinished_jobs_are_refused(start_gate: StartGate) -> None:
    gate = await start_gate("east", max_active_jobs=2)
    answers = await asyncio.gather(*(gate.submit(submission()) for _ in range(4)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, HyperscaleError)]
    assert [error.reason for error in refusals] == [ErrorReason.TOO_MANY_JOBS] * 2


async def test_a_gate_that_recovers_or_drains_accepts_nothing(store: MemoryStore) -> None:
    gate = make_gate(store)
    assert (await refused(gate, submission())).reason is ErrorReason.SYNCING
    gate.node.lifecycle.drain()
    assert (await refused(gate, submission())).reason is ErrorReason.DRAINING


async def test_lists_are_paged_newest_first_over_all_gates(start_gate: StartGate) -> None:
    gates = [await start_gate("east", node_id="g1"), await start_gate("east", node_id="g2")]
    job_ids = []
    for turn in range(5):
        job_ids.append(await gates[turn % 2].submit(submission()))
        await asyncio.sleep(0.002)
    found: list[str] = []
    token = ""
    for size in (2, 2, 1):
        page = await gates[0].node.listing.page(gate_service_pb2.ListJobsRequest(page_size=2, page_token=token))
        assert len(page.jobs) == size
        found += [job.job_id for job in page.jobs]
        token = page.next_page_token
    assert token == ""
    assert found == job_ids[::-1]


@pytest.mark.parametrize(("size", "token"), [(1001, ""), (1, "\x00"), (1, "x" * 1000)])
async def test_a_faulty_page_is_refused(gate: GateInMemory, size: int, token: str) -> None:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.listing.page(gate_service_pb2.ListJobsRequest(page_size=size, page_token=token))
    assert caught.value.reason is ErrorReason.INVALID_ARGUMENT
