"""Setup, load and teardown of a job: each once, whoever fails or restarts."""

import json
from collections.abc import Iterable

import pytest

from hyperscale.gate.models.orders import CallOrigin
from hyperscale.gate.stages import LOAD, SETUP, TEARDOWN
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, record_pb2, script_pb2, workflow_pb2
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import duration, timestamp
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, refusal, submission

COMPLETED, FAILED = job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED
CANCELLED, TIMEOUT = job_pb2.JOB_STATUS_CANCELLED, job_pb2.JOB_STATUS_TIMEOUT
CANCELLING, RUNNING = job_pb2.JOB_STATUS_CANCELLING, job_pb2.JOB_STATUS_RUNNING


def step(name: str, url: str, *variables: str) -> workflow_pb2.Step:
    extract = [script_pb2.Extraction(variable=variable, json_path="$.x") for variable in variables]
    return workflow_pb2.Step(name=name, http=workflow_pb2.HttpRequest(url=url), extract=extract)


def staged(*required: str, **fields: object) -> job_pb2.JobSubmission:
    """A job that makes something before its load, uses it, and removes it; and says goodbye."""
    job = submission(*required, **fields)  # type: ignore[arg-type]
    job.workflows[0].setup.append(step("create", "/create", "id"))
    job.workflows[0].steps.append(step("look", "/{{id}}"))
    job.workflows[0].teardown.extend([step("remove", "/remove/{{id}}"), step("leave", "/leave")])
    return job


def made(workflow: str, value: str = "7") -> job_pb2.WorkflowContext:
    values = [job_pb2.ContextValue(name="id", json=json.dumps(value), at_seconds=1)]
    return job_pb2.WorkflowContext(workflow_name=workflow, values=values)


def counted(workflow: str, requests: int) -> list[object]:
    statistics = WorkflowStatistics(workflow)
    statistics.step("s").total_count = requests
    return [statistics.to_proto()]


def dispatch(gate: GateInMemory, datacenter: str, dispatch_id: str) -> dispatch_pb2.JobDispatch:
    return gate.datacenters.dispatches[f"{datacenter}:1", dispatch_id]


def dispatched_ids(gate: GateInMemory) -> list[tuple[str, str]]:
    """Datacenter and stage of all that was dispatched, in order."""
    return [(address.partition(":")[0], key.partition("-g1-")[2][1:]) for address, key in gate.datacenters.dispatches]


def values_in(context: Iterable[job_pb2.WorkflowContext]) -> dict[str, dict[str, str]]:
    return {entry.workflow_name: {value.name: value.json for value in entry.values} for entry in context}


async def begin(gate: GateInMemory, job: job_pb2.JobSubmission) -> str:
    """Submit a job, up to its setup."""
    job_id = await gate.submit(job)
    await gate.dispatched(f"{job_id}.setup", "east")
    return job_id


async def loaded(gate: GateInMemory, job: job_pb2.JobSubmission) -> str:
    """Submit a job, up to its load."""
    job_id = await begin(gate, job)
    gate.finish("east", f"{job_id}.setup", provided=[made("shop.setup")])
    await gate.dispatched(job_id, "east", "west")
    return job_id


async def cancel(gate: GateInMemory, job_id: str) -> job_pb2.JobStatus.ValueType:
    request = dispatch_pb2.JobCancelRequest(job_id=job_id, reason="enough")
    return (await gate.node.desk.cancel(request, CallOrigin.CLIENT)).status


def stopping_when_told(gate: GateInMemory) -> None:
    """Datacenters that end what they are told to stop."""

    def on_cancel(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        gate.finish(address.partition(":")[0], request.job_id, CANCELLED)
        return CANCELLED

    gate.datacenters.on_cancel = on_cancel


async def stages_in_store(gate: GateInMemory, job_id: str) -> list[record_pb2.JobStage.ValueType]:
    record = await gate.node.jobs.store.get(job_id)
    assert record is not None
    return list(record.stages)


@pytest.mark.requirement("X.3")
async def test_setup_runs_once_before_the_load_and_teardown_once_after_it(gate: GateInMemory) -> None:
    job_id = await begin(gate, staged())
    assert await stages_in_store(gate, job_id) == [SETUP]
    setup = dispatch(gate, "east", f"{job_id}.setup").submission
    assert [(entry.name, entry.role) for entry in setup.workflows] == [("shop.setup", workflow_pb2.WORKFLOW_ROLE_SETUP)]
    assert (setup.workflows[0].shared_iterations.vus, setup.workflows[0].shared_iterations.iterations) == (1, 1)
    gate.finish("east", f"{job_id}.setup", statistics=counted("shop.setup", 1), provided=[made("shop.setup")])

    await gate.dispatched(job_id, "east", "west")
    assert await stages_in_store(gate, job_id) == [SETUP, LOAD]
    for name in ("east", "west"):
        assert values_in(dispatch(gate, name, job_id).context) == {"shop": {"id": '"7"'}}
    begin_at, span = timestamp(1000), duration(10)
    gate.finish("east", job_id, requests=100, started_at=begin_at, elapsed=span)
    assert ("east:1", f"{job_id}.teardown") not in gate.datacenters.dispatches, "west makes load"
    gate.finish("west", job_id, requests=200, started_at=begin_at, elapsed=span)

    await gate.dispatched(f"{job_id}.teardown", "east")
    assert await stages_in_store(gate, job_id) == [SETUP, LOAD, TEARDOWN]
    teardown = dispatch(gate, "east", f"{job_id}.teardown")
    assert [entry.name for entry in teardown.submission.workflows] == ["shop.teardown"]
    assert values_in(teardown.context) == {"shop.teardown": {"id": '"7"'}}
    gate.finish("east", f"{job_id}.teardown", statistics=counted("shop.teardown", 2))

    result = await gate.ended(job_id)
    assert (result.status, list(result.errors)) == (COMPLETED, [])
    counts = {
        name: result.metrics[name].values["count"] for name in ("http_reqs", "setup_requests", "teardown_requests")
    }
    assert counts == {"http_reqs": 300, "setup_requests": 1, "teardown_requests": 2}
    assert sum(step.total_count for entry in result.statistics for step in entry.steps) == 303
    assert [part.result.datacenter for part in result.datacenters] == ["east", "west"]
    assert len(gate.datacenters.dispatches) == 4
    assert not gate.datacenters.cancels


async def test_setups_of_each_datacenter_keep_their_values(gate: GateInMemory) -> None:
    job = staged()
    job.workflows[0].once_per = workflow_pb2.ONCE_SCOPE_DATACENTER
    job_id = await begin(gate, job)
    await gate.dispatched(f"{job_id}.setup", "west")
    gate.finish("east", f"{job_id}.setup", provided=[made("shop.setup", "e")])
    gate.finish("west", f"{job_id}.setup", provided=[made("shop.setup", "w")])
    await gate.dispatched(job_id, "east", "west")
    assert values_in(dispatch(gate, "east", job_id).context) == {"shop": {"id": '"e"'}}
    assert values_in(dispatch(gate, "west", job_id).context) == {"shop": {"id": '"w"'}}
    gate.finish("east", job_id)
    gate.finish("west", job_id)
    await gate.dispatched(f"{job_id}.teardown", "east", "west")
    assert values_in(dispatch(gate, "west", f"{job_id}.teardown").context) == {"shop.teardown": {"id": '"w"'}}
    gate.finish("east", f"{job_id}.teardown", FAILED, errors=["no way"])
    gate.finish("west", f"{job_id}.teardown")
    result = await gate.ended(job_id)
    assert (result.status, list(result.errors)) == (FAILED, ["east: teardown of shop: no way"])
    assert not gate.datacenters.cancels, "a teardown that fails leaves the others alone"


async def test_a_setup_that_fails_ends_the_job_without_load_and_with_teardown(gate: GateInMemory) -> None:
    job_id = await begin(gate, staged())
    gate.finish("east", f"{job_id}.setup", FAILED, errors=["step 'create' failed (status)"])
    await gate.dispatched(f"{job_id}.teardown", "east")
    (teardown,) = dispatch(gate, "east", f"{job_id}.teardown").submission.workflows
    assert [each.name for each in teardown.steps] == ["leave"], "there is nothing to remove"
    gate.finish("east", f"{job_id}.teardown")
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert list(result.errors) == ["east: setup of shop: step 'create' failed (status)", "west: no load was made"]
    assert (dispatched_ids(gate)) == [("east", ".setup"), ("east", ".teardown")]
    assert not result.HasField("started_at")


async def test_a_job_cancelled_in_its_setup_makes_no_load_and_is_torn_down(gate: GateInMemory) -> None:
    stopping_when_told(gate)
    job_id = await begin(gate, staged())
    assert await cancel(gate, job_id) == CANCELLING
    await gate.dispatched(f"{job_id}.teardown", "east")
    assert [request.job_id for _, request in gate.datacenters.cancels] == [f"{job_id}.setup"]
    gate.finish("east", f"{job_id}.teardown")
    assert (await gate.ended(job_id)).status == CANCELLED
    assert dispatched_ids(gate) == [("east", ".setup"), ("east", ".teardown")]


@pytest.mark.requirement("X.3")
async def test_a_cancelled_job_is_torn_down_once_and_to_the_end(gate: GateInMemory) -> None:
    stopping_when_told(gate)
    job_id = await loaded(gate, staged())
    await cancel(gate, job_id)
    await gate.dispatched(f"{job_id}.teardown", "east")
    assert await cancel(gate, job_id) == CANCELLING
    assert {request.job_id for _, request in gate.datacenters.cancels} == {job_id}
    gate.finish("east", f"{job_id}.teardown")
    result = await gate.ended(job_id)
    assert result.status == CANCELLED
    assert len(gate.datacenters.dispatches) == 4


async def test_a_job_over_its_timeout_is_torn_down(gate: GateInMemory) -> None:
    stopping_when_told(gate)
    job_id = await loaded(gate, staged(timeout_seconds=0.5))
    await gate.dispatched(f"{job_id}.teardown", "east")
    gate.finish("east", f"{job_id}.teardown")
    result = await gate.ended(job_id)
    assert result.status == TIMEOUT
    assert "timeout of 0.5 s" in result.errors[0]


async def test_a_job_that_fails_is_torn_down_where_somebody_answers(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", manager_loss_grace_seconds=1)
    stopping_when_told(gate)
    job_id = await loaded(gate, staged())
    gate.streams["east"].close()
    gate.finish("west", job_id)
    gate.keep_alive("west")
    await gate.dispatched(f"{job_id}.teardown", "west")
    gate.finish("west", f"{job_id}.teardown")
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert list(result.errors) == ["east: no manager of the datacenter answers any more"]


async def test_a_teardown_that_nobody_runs_ends_all_the_same(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", dispatch_deadline_seconds=0.2, stop_grace_seconds=0.2)
    job = staged()
    job.workflows[0].teardown_timeout.FromMilliseconds(100)
    job_id = await loaded(gate, job)
    gate.finish("east", job_id, requests=5)
    gate.finish("west", job_id)
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert result.errors[0].startswith("east: teardown of shop: the datacenter was told to stop")
    assert result.metrics["http_reqs"].values["count"] == 5


async def test_without_a_setup_there_is_load_at_once_and_teardown_after_it(gate: GateInMemory) -> None:
    job = staged("west")
    del job.workflows[0].setup[:], job.workflows[0].steps[1:], job.workflows[0].teardown[:1]
    job_id = await gate.submit(job)
    await gate.dispatched(job_id, "west")
    gate.finish("west", job_id)
    await gate.dispatched(f"{job_id}.teardown", "west")
    assert dispatched_ids(gate) == [("west", ""), ("west", ".teardown")]


async def test_nothing_is_torn_down_that_was_not_set_up(gate: GateInMemory) -> None:
    """Of two workflows, one of which has no setup, the load of neither begins."""
    job = staged()
    other = job.workflows.add()
    other.CopyFrom(submission().workflows[0])
    other.name = "other"
    other.teardown.append(step("clean", "/clean"))
    job_id = await begin(gate, job)
    gate.finish("east", f"{job_id}.setup", FAILED, errors=["no"], provided=[made("shop.setup")])
    await gate.dispatched(f"{job_id}.teardown", "east")
    teardowns = dispatch(gate, "east", f"{job_id}.teardown").submission.workflows
    assert [(each.name, len(each.steps)) for each in teardowns] == [("shop.teardown", 2)]


async def test_reports_of_another_stage_change_nothing(gate: GateInMemory) -> None:
    job_id = await loaded(gate, staged())
    gate.finish("east", f"{job_id}.setup", FAILED, errors=["late"])
    gate.progress("east", f"{job_id}.teardown", 1, 99)
    gate.finish("east", job_id, requests=1)
    gate.finish("west", job_id)
    await gate.dispatched(f"{job_id}.teardown", "east")
    gate.progress("east", f"{job_id}.teardown", 1, 0, statistics=counted("shop.teardown", 1))
    gate.finish("east", f"{job_id}.teardown", statistics=counted("shop.teardown", 2))
    result = await gate.ended(job_id)
    assert (result.status, result.metrics["http_reqs"].values["count"]) == (COMPLETED, 1)


async def crash(gate: GateInMemory) -> None:
    """End everything the gate does, as a kill would: nothing is written any more."""
    await gate.supervisor.stop(1)


async def restarted(start_gate: StartGate, *datacenters: str) -> GateInMemory:
    gate = await start_gate()
    gate.datacenters.on_cancel = lambda _address, _request: CANCELLED
    await gate.connect(*datacenters)
    return gate


@pytest.mark.requirement("X.3")
async def test_after_a_restart_a_setup_that_had_begun_is_not_run_again(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    job_id = await begin(gate, staged())
    await crash(gate)
    again = await restarted(start_gate, "east", "west")
    await again.dispatched(f"{job_id}.teardown", "east")
    assert {request.job_id for _, request in again.datacenters.cancels} == {f"{job_id}.setup"}
    again.finish("east", f"{job_id}.teardown")
    result = await again.ended(job_id)
    assert result.status == FAILED
    reason = "gate g1 restarted while the job was under way; its setup had begun, and is not run again"
    assert result.errors[0] == reason
    assert f"east: setup of shop: {reason}" in list(result.errors)
    assert dispatched_ids(again) == [("east", ".teardown")]


@pytest.mark.requirement("X.3")
async def test_after_a_restart_no_load_is_begun_and_teardown_gets_what_setup_provided(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    job_id = await begin(gate, staged())
    gate.datacenters.answers |= {f"{name}:1": refusal(ErrorReason.PEER_UNREACHABLE) for name in ("east", "west")}
    gate.finish("east", f"{job_id}.setup", statistics=counted("shop.setup", 1), provided=[made("shop.setup")])

    async def has_entered_load() -> bool:
        return await stages_in_store(gate, job_id) == [SETUP, LOAD]

    await until_answer(has_entered_load)
    await crash(gate)
    assert dispatched_ids(gate) == [("east", ".setup")]
    again = await restarted(start_gate, "east", "west")
    await again.dispatched(f"{job_id}.teardown", "east")
    assert values_in(dispatch(again, "east", f"{job_id}.teardown").context) == {"shop.teardown": {"id": '"7"'}}
    again.finish("east", f"{job_id}.teardown")
    result = await again.ended(job_id)
    assert result.status == FAILED
    assert result.errors[0] == "gate g1 restarted while the job was under way"
    assert result.metrics["setup_requests"].values["count"] == 1
    assert dispatched_ids(again) == [("east", ".teardown")]


@pytest.mark.requirement("X.3")
async def test_after_a_restart_a_teardown_that_had_begun_is_seen_to_its_end(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    job_id = await loaded(gate, staged())
    gate.finish("east", job_id, requests=3)
    gate.finish("west", job_id, requests=4)
    await gate.dispatched(f"{job_id}.teardown", "east")
    fence = gate.fence(job_id)
    await crash(gate)
    again = await restarted(start_gate, "west", "east")
    await again.dispatched(f"{job_id}.teardown", "east")
    assert not again.datacenters.cancels, "the datacenter takes the same stage for the one that it has"
    again.finish("east", f"{job_id}.teardown", statistics=counted("shop.teardown", 2), fence_token=fence)
    result = await again.ended(job_id)
    assert result.status == FAILED
    assert result.errors[0] == "gate g1 restarted while the job was under way"
    assert {name: result.metrics[name].values["count"] for name in ("http_reqs", "teardown_requests")} == {
        "http_reqs": 7,
        "teardown_requests": 2,
    }


async def test_jobs_of_a_gate_that_stays_away_are_torn_down_by_another(
    start_gate: StartGate, store: MemoryStore
) -> None:
    gate = await start_gate("east", "west", lease_ttl_seconds=0.2)
    other = await start_gate("east", "west", node_id="g2", lease_ttl_seconds=0.2)
    other.datacenters.on_cancel = lambda _address, _request: CANCELLED
    job_id = await loaded(gate, staged())
    await crash(gate)
    await other.dispatched(f"{job_id}.teardown", "east")
    assert {request.job_id for _, request in other.datacenters.cancels} == {job_id}
    other.finish("east", f"{job_id}.teardown")
    result = await other.ended(job_id)
    assert result.errors[0] == "gate g1, which owned the job, is gone"
    await until(lambda: not len(other.node.jobs.state))


async def test_a_draining_gate_leaves_what_is_to_be_torn_down_to_the_next(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    job_id = await loaded(gate, staged())
    gate.node.lifecycle.drain()
    await gate.node.drain.end_jobs(timeout_seconds=5)
    assert {request.job_id for _, request in gate.datacenters.cancels} == {job_id}
    await crash(gate)
    again = await restarted(start_gate, "east", "west")
    await again.dispatched(f"{job_id}.teardown", "east")
    again.finish("east", f"{job_id}.teardown")
    assert (await again.ended(job_id)).status == FAILED


async def test_queries_ask_for_the_stage_under_way(gate: GateInMemory) -> None:
    job_id = await begin(gate, staged())
    answer = await gate.node.queries.query(gate_service_pb2.WorkflowQueryRequest(job_id=job_id))
    assert {workflow.job_id for part in answer.datacenters for workflow in part.workflows} == {job_id}
