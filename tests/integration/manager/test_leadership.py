"""Two managers of one datacenter."""

from __future__ import annotations

import asyncio
import signal

import pytest

from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, WORKFLOW_STATUS_DISPATCHED
from hyperscale.v1.progress_pb2 import SHARD_STATUS_CANCELLED
from tests.integration.manager.conftest import Datacenter, refused
from tests.integration.manager.fakes import FakeWorker
from tests.support.shards import workflow
from tests.support.waiting import until


@pytest.mark.requirement("AD-32.2")
async def test_a_follower_names_the_leader_and_takes_over_when_it_dies(datacenter: Datacenter) -> None:
    async with datacenter.manager("manager-1") as first:
        await datacenter.until_leads(first)
        async with datacenter.manager("manager-2") as second:
            error = await refused(second.submit("job-1", workflow()))
            async with asyncio.timeout(30):
                while error.leader != first.address:
                    error = await refused(second.submit("job-1", workflow()))
            assert error.reason == ErrorReason.NOT_LEADER
            assert (await second.ping()).leader_id == "manager-1"
            async with FakeWorker("worker-1", 1, first.address) as worker:
                await first.submit("job-1", workflow())
                order = await worker.given("job-1/browse/0")
                (info,) = (await second.stub.QueryWorkflows(WorkflowQueryRequest())).workflows
                assert (info.status, list(info.assigned_workers)) == (WORKFLOW_STATUS_DISPATCHED, ["worker-1"])
                await first.end(signal.SIGKILL)
                await datacenter.until_leads(second)
                result = await datacenter.gate.final("job-1")
                assert result.status == JOB_STATUS_FAILED
                assert "was lost while the job was under way" in result.errors[0]
                await worker.disconnect()
                worker.manager = second.address
                await worker.connect()
                await until(lambda: "job-1/browse/0" in worker.cancelled, "the orphaned shard is cancelled")
                await worker.report("job-1/browse/0", SHARD_STATUS_CANCELLED)
                await second.submit("job-2", workflow())
                assert (await worker.given("job-2/browse/0")).fence_token > order.fence_token
                await worker.run("job-2/browse/0", 5)
                assert (await datacenter.gate.final("job-2")).status == JOB_STATUS_COMPLETED


@pytest.mark.requirement("OPS.1")
async def test_a_leader_that_drains_hands_over_at_once(datacenter: Datacenter) -> None:
    async with datacenter.manager("manager-1", "--leader-lease-ttl-seconds", "60") as first:
        await datacenter.until_leads(first)
        async with datacenter.manager("manager-2") as second:
            assert await first.end(signal.SIGTERM) == 0
            await datacenter.until_leads(second)


async def test_a_restarted_manager_ends_what_it_left(datacenter: Datacenter) -> None:
    async with datacenter.manager() as manager:
        await datacenter.until_leads(manager)
        await manager.submit("job-1", workflow())
        await manager.end(signal.SIGKILL)
    async with datacenter.manager() as manager:
        result = await datacenter.gate.final("job-1")
        assert result.status == JOB_STATUS_FAILED
        await datacenter.until_leads(manager)


@pytest.mark.requirement("CLIENT.3")
async def test_gates_hear_of_leadership_workers_and_free_cores_at_once(datacenter: Datacenter) -> None:
    def heard(*news: object) -> bool:
        last = datacenter.gate.heartbeats[-1]
        return (last.is_leader, last.worker_count, last.available_cores) == news

    async with datacenter.manager("manager-1", "--report-interval-seconds", "60") as manager:
        await until(lambda: heard(True, 0, 0), "leadership")
        async with FakeWorker("worker-1", 3, manager.address) as worker:
            await until(lambda: heard(True, 1, 3), "a worker and its cores")
            await manager.submit("job-1", workflow(users=2))
            await until(lambda: heard(True, 1, 1), "cores taken")
            assert [use.cores for use in datacenter.gate.heartbeats[-1].busy] == [2]
            await worker.run("job-1/browse/0", 10)
            await until(lambda: heard(True, 1, 3), "cores given back")


async def test_a_manager_is_ready_when_it_knows_who_leads(datacenter: Datacenter) -> None:
    async with datacenter.manager("manager-1") as first, datacenter.manager("manager-2") as second:
        assert (await first.ping()).heartbeat.is_leader
        assert (await second.ping()).leader_id == "manager-1"
