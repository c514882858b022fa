"""Nothing grows with the number of jobs; what is stored goes after its retention."""

import asyncio

from hyperscale.runtime.coordination import MemoryStore, memory_coordinator
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2
from tests.support.waiting import until
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, submission

JOBS = 2_100


def ending_at_once(gate: GateInMemory) -> None:
    """Datacenters that complete, fail or wait for their cancellation in turn."""

    def on_dispatch(address: str, dispatch: dispatch_pb2.JobDispatch) -> None:
        name, kind = address.partition(":")[0], int(dispatch.job_id.rpartition("-")[2]) % 3
        # Without measurements: merging those of every job would take most of the time.
        gate.progress(name, dispatch.job_id, 1, 0, statistics=[])
        if kind == 0:
            gate.finish(name, dispatch.job_id, statistics=[])
        elif kind == 1 or name == "east":
            gate.finish(name, dispatch.job_id, job_pb2.JOB_STATUS_FAILED, statistics=[], errors=["broken"])

    def on_cancel(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        gate.finish(address.partition(":")[0], request.job_id, job_pb2.JOB_STATUS_CANCELLED, statistics=[])
        return job_pb2.JOB_STATUS_CANCELLING

    gate.datacenters.on_dispatch = on_dispatch
    gate.datacenters.on_cancel = on_cancel


async def everything_in(store: MemoryStore, prefix: str) -> int:
    coordinator = memory_coordinator(store)
    return len(await coordinator.list(prefix, limit=10 * JOBS))


async def test_thousands_of_jobs_leave_nothing_behind(start_gate: StartGate, store: MemoryStore) -> None:
    # No manager sends heartbeats here, however long a busy machine takes.
    gate = await start_gate("east", "west", completed_job_retention_seconds=0.001, manager_loss_grace_seconds=600)
    ending_at_once(gate)
    for start in range(0, JOBS, 100):
        job_ids = [f"key-{number}" for number in range(start, start + 100)]
        await asyncio.gather(*(gate.submit(submission(key=key, vus=1)) for key in job_ids))
        await until(lambda: len(gate.node.jobs.state) == 0)
    await until(lambda: gate.node.jobs.courier.pending_count == 0)

    assert len(gate.node.jobs.state) == 0
    assert gate.node.strays.considered_count == 0
    assert gate.node.jobs.registry.manager_count == 2
    # A job is forgotten a turn of the loop before its task has ended.
    await until(lambda: dict(gate.supervisor.running) == {"lease-renewal": 1, "orphan-search": 1, "retention": 1})
    assert await everything_in(store, "unfinished-jobs/") == 0
    assert await everything_in(store, "jobs/") == JOBS

    await asyncio.sleep(0.01)
    assert await gate.node.retention.sweep() == JOBS
    assert [await everything_in(store, prefix) for prefix in ("jobs/", "job-summaries/", "idempotency/")] == [0, 0, 0]


async def test_the_sweep_leaves_young_and_unfinished_jobs(start_gate: StartGate) -> None:
    gate = await start_gate("east", completed_job_retention_seconds=1.5)
    old = await gate.submit(submission("east", key="old"))
    unfinished = await gate.submit(submission("east"))
    await gate.dispatched(old, "east")
    gate.finish("east", old)
    await gate.ended(old)
    await asyncio.sleep(1.55)
    young = await gate.submit(submission("east"))
    await gate.dispatched(young, "east")
    gate.finish("east", young)
    await gate.ended(young)
    assert await gate.node.retention.sweep() == 1
    page = await gate.node.listing.page(gate_service_pb2.ListJobsRequest())
    assert [job.job_id for job in page.jobs] == [young, unfinished]
    assert await gate.node.jobs.store.used_key("old") is None
    assert await gate.node.jobs.store.get(old) is None
