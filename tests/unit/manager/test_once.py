"""Setups and teardowns in a datacenter: given to one worker once."""

from __future__ import annotations

import pytest

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, ContextValue, JobStatus, WorkflowContext
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_FAILED,
    SHARD_STATUS_RUNNING,
    ShardStatus,
)
from hyperscale.v1.workflow_pb2 import WORKFLOW_ROLE_SETUP, WORKFLOW_ROLE_TEARDOWN, Workflow, WorkflowRole
from hyperscale.workload.context import MAX_CONTEXT_BYTES
from tests.support.shards import requests_of, worker_heartbeat, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, dispatch

PORT_1, PORT_2 = 7001, 7002


def once(name: str, role: WorkflowRole.ValueType) -> Workflow:
    made = workflow(name, users=1, iterations=1)
    made.role = role
    return made


def value(name: str, text: str, at_seconds: float = 1.0) -> ContextValue:
    return ContextValue(name=name, json=f'"{text}"', at_seconds=at_seconds)


async def placed(manager: ManagerInMemory, *workflows: Workflow) -> None:
    await manager.intake.accept(dispatch("job-1", *workflows))
    await until(lambda: len(manager.port.orders) == len(workflows))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(SHARD_STATUS_COMPLETED, JOB_STATUS_COMPLETED), (SHARD_STATUS_FAILED, JOB_STATUS_FAILED)],
)
async def test_the_gate_gets_what_a_setup_has_provided_also_when_it_fails(
    manager: ManagerInMemory, status: ShardStatus.ValueType, outcome: JobStatus.ValueType
) -> None:
    manager.join("worker-1", PORT_1, 2)
    await placed(manager, once("A.setup", WORKFLOW_ROLE_SETUP), workflow("B", users=1))
    manager.run("worker-1", "job-1/B/0")
    manager.report("worker-1", "job-1/A.setup/0", status, provided=[value("id", "7")])
    result = await manager.final("job-1")
    assert result.status == outcome
    assert [(entry.workflow_name, [each.json for each in entry.values]) for entry in result.provided] == [
        ("A.setup", ['"7"'])
    ]


async def test_what_a_setup_provided_reaches_its_workflow_and_its_dependents(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    order = dispatch("job-1", workflow("A", users=1), workflow("B", "A", users=1))
    order.context.append(WorkflowContext(workflow_name="A", values=[value("id", "A", 9), value("a", "A")]))
    order.context.append(WorkflowContext(workflow_name="B", values=[value("id", "B", 1)]))
    await manager.intake.accept(order)
    await until(lambda: len(manager.port.orders) == 1)
    manager.run("worker-1", "job-1/A/0")
    await until(lambda: len(manager.port.orders) == 2)
    given = [{each.name: each.json for each in sent.context} for _, sent in manager.port.orders]
    assert given == [{"id": '"A"', "a": '"A"'}, {"id": '"B"', "a": '"A"'}], "one's own setup wins"


async def test_more_context_than_a_job_may_have_is_refused(manager: ManagerInMemory) -> None:
    order = dispatch("job-1", workflow("A", users=1))
    order.context.append(WorkflowContext(workflow_name="A", values=[value("big", "x" * MAX_CONTEXT_BYTES)]))
    with pytest.raises(HyperscaleError) as caught:
        await manager.intake.accept(order)
    assert [violation.path for violation in caught.value.violations] == ["context"]


@pytest.mark.requirement("X.3")
@pytest.mark.parametrize("role", [WORKFLOW_ROLE_SETUP, WORKFLOW_ROLE_TEARDOWN])
async def test_what_a_worker_may_have_run_is_given_to_no_other(
    manager: ManagerInMemory, role: WorkflowRole.ValueType
) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.lost_answers[PORT_1] = HyperscaleError(ErrorReason.DEADLINE_EXCEEDED)
    await placed(manager, once("A.x", role))
    manager.join("worker-2", PORT_2, 2)
    for _ in range(2):
        # As after a restart of its process: nothing runs there.
        manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2))
        manager.clock.now += 4
    result = await manager.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert list(result.errors) == ["worker worker-1 may have run shard job-1/A.x/0, and it is not run again"]
    assert len(manager.port.orders) == 1


async def test_what_a_worker_refuses_another_one_may_have(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.refusals[PORT_1] = HyperscaleError(ErrorReason.DRAINING)
    await manager.intake.accept(dispatch("job-1", once("A.setup", WORKFLOW_ROLE_SETUP)))
    manager.join("worker-2", PORT_2, 2)
    await until(lambda: [port for port, _ in manager.port.orders] == [PORT_2])


async def test_a_teardown_that_fails_leaves_the_others_alone(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    await placed(manager, once("A.teardown", WORKFLOW_ROLE_TEARDOWN), once("B.teardown", WORKFLOW_ROLE_TEARDOWN))
    manager.report("worker-1", "job-1/A.teardown/0", SHARD_STATUS_FAILED, errors=["no way"])
    assert manager.status("job-1", "B.teardown") == "DISPATCHED"
    manager.run("worker-1", "job-1/B.teardown/0", 3)
    result = await manager.final("job-1")
    assert (result.status, list(result.errors)) == (JOB_STATUS_FAILED, ["worker worker-1: no way"])
    assert not manager.port.cancels


@pytest.mark.parametrize("confirms", [True, False])
async def test_a_teardown_over_its_time_is_stopped_alone_and_what_it_counts_until_then_is_in_the_result(
    manager: ManagerInMemory, confirms: bool
) -> None:
    longer = once("B.teardown", WORKFLOW_ROLE_TEARDOWN)
    longer.shared_iterations.max_duration.FromSeconds(3600)
    manager.join("worker-1", PORT_1, 2)
    await placed(manager, once("A.teardown", WORKFLOW_ROLE_TEARDOWN), longer)
    manager.report("worker-1", "job-1/A.teardown/0", requests=1)
    manager.clock.now += 600 + 30 + 30 + 1
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2, "job-1/A.teardown/0", "job-1/B.teardown/0"))
    manager.upkeep.tick()
    await until(manager.port.stopped)
    assert manager.workers.free_cores == 0
    manager.report("worker-1", "job-1/A.teardown/0", SHARD_STATUS_CANCELLED if confirms else SHARD_STATUS_RUNNING, 2)
    manager.clock.now += 5
    manager.upkeep.tick()
    assert manager.status("job-1", "B.teardown") == "DISPATCHED"
    assert manager.workers.free_cores == 1
    manager.run("worker-1", "job-1/B.teardown/0", 3)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 5)
    assert result.errors[0] == "worker worker-1 has not ended shard job-1/A.teardown/0 within its time"
    assert len(result.errors) == (1 if confirms else 2)
    assert manager.port.stopped() == [(PORT_1, "job-1/A.teardown/0")]
