"""A worker process as managers see it: shards from their dispatch to their last report."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.v1.dispatch_pb2 import WorkflowCancelRequest, WorkflowDispatch
from hyperscale.v1.node_pb2 import NODE_STATE_ACTIVE, NODE_STATE_DRAINING, PingRequest
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_FAILED,
    SHARD_STATUS_RUNNING,
    WorkflowProgress,
)
from tests.integration.worker.conftest import kill, running_worker, start_worker, stop
from tests.support.fake_manager import FakeManager, http_dispatch
from tests.support.processes import children_of, eventually, is_alive
from tests.support.target import BundledTarget

SHARD = "job-1/browse/0"


def requests_in(progress: WorkflowProgress) -> int:
    return sum(step.total_count for step in progress.totals.steps)


def failures_in(progress: WorkflowProgress) -> int:
    return sum(failure.count for step in progress.totals.steps for failure in step.failures)


async def running(manager: FakeManager, shard_id: str = SHARD, *, requests: int = 1) -> WorkflowProgress:
    """Wait until a shard has made some load."""

    def has_made_load() -> bool:
        return any(requests_in(one) >= requests for one in manager.progress(shard_id))

    await manager.until(has_made_load, f"load of {shard_id}")
    return manager.progress(shard_id)[-1]


async def refusal(manager: FakeManager, dispatch: WorkflowDispatch) -> HyperscaleError:
    """The error with which a dispatch is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await manager.worker.DispatchWorkflow(dispatch)
    return error_from_rpc(refused.value)


async def test_totals_equal_what_the_target_counted(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "2"):
        ack = await manager.worker.DispatchWorkflow(http_dispatch(target.url, cores=2, vus=5, seconds=3))
        assert (ack.shard_id, ack.cores_assigned, ack.available_cores) == (SHARD, 2, 0)
        final = await manager.ended(SHARD)
    reports = manager.progress(SHARD)
    assert (final.status, list(final.errors)) == (SHARD_STATUS_COMPLETED, [])
    assert requests_in(final) == target.requests() - before > 0
    assert (final.totals.vus_max, final.totals.vus) == (5, 0)
    assert 3000 <= final.elapsed.ToMilliseconds() < 10_000
    assert [one.progress_sequence for one in reports] == list(range(1, len(reports) + 1))
    assert reports[0].status == SHARD_STATUS_RUNNING
    # About one in a second, the first and the last one besides.
    assert 3 <= len(reports) <= 4 + final.elapsed.seconds
    windows = [window for one in reports for window in one.windows]
    seconds = [window.window_start.seconds for window in windows]
    assert seconds == sorted(set(seconds))
    assert len(seconds) >= 3
    counts = [requests_in(one) for one in reports]
    assert counts == sorted(counts)


async def test_managers_hear_of_free_cores_at_once(manager: FakeManager, target: BundledTarget, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1", "--heartbeat-interval-seconds", "10"):
        await manager.until(lambda: manager.heartbeats[-1].available_cores == 1, "a free core")
        # Longer than the least distance of two heartbeats: of a shard that is over sooner, nothing needs to be heard.
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=1))
        async with asyncio.timeout(9):
            await manager.until(lambda: manager.heartbeats[-1].available_cores == 0, "no free core")
            await manager.until(lambda: manager.heartbeats[-1].available_cores == 1, "a core again")


async def test_shared_iterations_run_exactly_as_often_as_asked(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "2"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, cores=2, vus=3, iterations=1001))
        final = await manager.ended(SHARD)
    assert (final.totals.iterations, requests_in(final)) == (1001, 1001)
    assert target.requests() - before == 1001


async def test_a_repeated_dispatch_runs_once_and_gets_the_same_answer(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "2"):
        dispatch = http_dispatch(target.url, iterations=50)
        first = await manager.worker.DispatchWorkflow(dispatch)
        assert await manager.worker.DispatchWorkflow(dispatch) == first
        await manager.ended(SHARD)
        assert await manager.worker.DispatchWorkflow(dispatch) == first
        ping = await manager.worker.Ping(PingRequest(request_id="x"))
        assert (ping.request_id, ping.heartbeat.available_cores, list(ping.heartbeat.active_shard_ids)) == ("x", 2, [])
    assert target.requests() - before == 50


@pytest.mark.requirement("AD-10.1")
async def test_what_a_worker_must_not_run_is_refused(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=60, fence_token=5))
        cases = {
            ErrorReason.STALE_FENCE: http_dispatch(target.url, "job-1/browse/1", fence_token=4),
            ErrorReason.DUPLICATE_SHARD: http_dispatch(target.url, attempt=2, fence_token=5),
            ErrorReason.INSUFFICIENT_CORES: http_dispatch(target.url, "job-1/browse/1", fence_token=5, cores=2),
            ErrorReason.NOT_READY: http_dispatch(target.url, "job-1/browse/1", fence_token=5, manager_id="stranger"),
        }
        assert [(await refusal(manager, one)).reason for one in cases.values()] == list(cases)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await manager.worker.CancelWorkflow(WorkflowCancelRequest(job_id="job-1", fence_token=4))
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        ping = await manager.worker.Ping(PingRequest())
        assert (ping.heartbeat.available_cores, list(ping.heartbeat.active_shard_ids)) == (1, [SHARD])


async def test_a_malformed_dispatch_is_refused_with_every_fault(manager: FakeManager, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1"):
        empty = await refusal(manager, WorkflowDispatch())
        assert empty.reason is ErrorReason.INVALID_ARGUMENT
        assert [fault.path for fault in empty.violations] == [
            *("job_id", "shard_id", "attempt", "fence_token", "cores", "manager_id", "workflow")
        ]
        faulty = http_dispatch("", cores=1)
        faulty.workflow.ClearField("constant_vus")
        paths = [fault.path for fault in (await refusal(manager, faulty)).violations]
        assert paths == ["workflow", "workflow.steps[0].http.url"]


async def test_a_shard_without_users_is_over_at_once(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, vus=0, seconds=600))
        final = await manager.ended(SHARD)
        assert (final.status, requests_in(final), final.totals.workflow_name) == (SHARD_STATUS_COMPLETED, 0, "browse")


async def test_surplus_cores_are_not_used(manager: FakeManager, target: BundledTarget, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, cores=2, vus=1, iterations=10))
        assert requests_in(await manager.ended(SHARD)) == 10


@pytest.mark.requirement("AD-20.1")
async def test_a_cancelled_shard_ends_gracefully_and_keeps_its_counts(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "1"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=600))
        await running(manager)
        request = WorkflowCancelRequest(job_id="job-1", fence_token=1, reason="enough")
        answer = await manager.worker.CancelWorkflow(request)
        assert list(answer.cancelling_shard_ids) == [SHARD]
        final = await manager.ended(SHARD)
        assert (final.status, list(final.errors), failures_in(final)) == (SHARD_STATUS_CANCELLED, [], 0)
        assert requests_in(final) == target.requests() - before
        assert list((await manager.worker.CancelWorkflow(request)).unknown_shard_ids) == []
        assert (await refusal(manager, http_dispatch(target.url, "job-1/browse/1"))).reason is ErrorReason.STALE_FENCE
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, "job-2/browse/0", iterations=5))
        assert (await manager.ended("job-2/browse/0")).status == SHARD_STATUS_COMPLETED


async def test_a_cancelled_shard_whose_target_hangs_is_interrupted(manager: FakeManager, tmp_path: Path) -> None:
    # Connections are made by the system, and nobody ever reads from them.
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        async with running_worker(manager, tmp_path, "--cores", "1", "--cancel-grace-seconds", "1"):
            await manager.worker.DispatchWorkflow(http_dispatch(url, seconds=600))
            await manager.until(lambda: len(manager.progress(SHARD)) >= 2, "a second report")
            await manager.worker.CancelWorkflow(WorkflowCancelRequest(job_id="job-1", fence_token=1))
            final = await manager.ended(SHARD)
            assert (final.status, requests_in(final), failures_in(final)) == (SHARD_STATUS_CANCELLED, 2, 2)


async def test_a_killed_engine_fails_its_shard_by_name_and_is_replaced(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2") as worker:
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, cores=2, vus=4, seconds=600))
        reported = requests_in(await running(manager, requests=100))
        victim = worker.engines[0]
        kill(victim)
        final = await manager.ended(SHARD)
        assert final.status == SHARD_STATUS_FAILED
        assert final.errors[0] == f"engine {victim} of worker worker-1 was killed by SIGKILL while it ran the shard"
        assert requests_in(final) >= reported
        await _all_cores_free(manager, 2)
        assert victim not in worker.engines
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, "job-2/browse/0", cores=2, iterations=40))
        again = await manager.ended("job-2/browse/0")
        assert (again.status, requests_in(again)) == (SHARD_STATUS_COMPLETED, 40)


async def test_an_engine_that_hangs_is_killed_and_replaced(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1", "--engine-stall-seconds", "2") as worker:
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=600))
        await running(manager)
        (victim,) = worker.engines
        stop(victim)
        final = await manager.ended(SHARD)
        assert final.status == SHARD_STATUS_FAILED
        assert final.errors[0] == f"engine {victim} of worker worker-1 did not report for 2 s and was killed"
        await _all_cores_free(manager, 1)


@pytest.mark.parametrize("strike", [kill, stop])
async def test_an_idle_engine_that_dies_or_hangs_is_replaced_and_leaves_no_file(
    manager: FakeManager,
    target: BundledTarget,
    tmp_path: Path,
    strike: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    async with running_worker(manager, tmp_path, "--cores", "1", "--engine-stall-seconds", "2") as worker:
        (victim,) = worker.engines
        strike(victim)
        await asyncio.to_thread(eventually, lambda: worker.engines not in ([victim], []), what="another engine")
        await _all_cores_free(manager, 1)
        assert len(list(temporary.iterdir())) == 1
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, iterations=5))
        assert (await manager.ended(SHARD)).status == SHARD_STATUS_COMPLETED
    # The worker was killed: the engine cleared up by itself.
    assert not list(temporary.iterdir())


async def test_engines_end_when_their_control_process_is_killed(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2") as worker:
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=600))
        await running(manager)
        engines = worker.engines
        assert len(engines) == 2
        kill(worker.pid)
        eventually(lambda: not any(map(is_alive, engines)), what="the end of the engines")


@pytest.mark.requirement("OPS.1")
async def test_a_drained_worker_delivers_results_and_exits_cleanly(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "1", "--drain-timeout-seconds", "20") as worker:
        manager.acknowledges = False
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=600))
        await running(manager)
        engines = worker.engines
        draining = asyncio.ensure_future(worker.terminate())
        await manager.until(lambda: manager.heartbeats[-1].node.state == NODE_STATE_DRAINING, "a draining heartbeat")
        assert (await refusal(manager, http_dispatch(target.url, "job-1/browse/1"))).reason is ErrorReason.DRAINING
        final = await manager.ended(SHARD)
        assert (final.status, list(final.errors)) == (SHARD_STATUS_FAILED, ["worker worker-1 was shut down"])
        assert requests_in(final) == target.requests() - before
        assert not draining.done()
        manager.acknowledges = True
        await manager.stop()
        await manager.start()
        assert await draining == 0
        assert not any(map(is_alive, engines))


async def test_an_idle_worker_drains_at_once(manager: FakeManager, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2") as worker:
        assert await worker.terminate() == 0
    assert not (tmp_path / "worker.json").exists()


@pytest.mark.requirement("OPS.1")
async def test_a_worker_that_hangs_on_an_engine_still_exits_in_time(manager: FakeManager, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1") as worker:
        (engine,) = worker.engines
        stop(engine)
        assert await worker.terminate() == 0
        await asyncio.to_thread(eventually, lambda: not is_alive(engine), what="the engine's end")


@pytest.mark.requirement("OPS.1")
async def test_a_worker_that_is_still_starting_can_be_ended(tmp_path: Path) -> None:
    process = await start_worker("127.0.0.1:9", tmp_path, "--cores", "2")
    await asyncio.to_thread(eventually, lambda: children_of(process.pid), what="an engine")
    engines = children_of(process.pid)
    process.terminate()
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    assert not any(map(is_alive, engines))


async def test_nothing_is_lost_while_the_manager_is_away(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "1"):
        manager.acknowledges = False
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=3))
        await running(manager)
        seen = len(manager.frames)
        await manager.stop()
        await asyncio.to_thread(_until_quiet, target)
        manager.acknowledges = True
        await manager.start()
        final = await manager.ended(SHARD)
        assert (final.status, requests_in(final)) == (SHARD_STATUS_COMPLETED, target.requests() - before)
        resent = manager.frames[seen:]
        assert [one.report_sequence for one in resent[:seen]] == [one.report_sequence for one in manager.frames[:seen]]
        sequences = [one.progress_sequence for one in manager.progress(SHARD)]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(manager.registrations) == 2
        assert all(frame.HasField("heartbeat") for frame in manager.first_frames)


async def test_an_orphaned_shard_stops_and_keeps_its_result(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "1", "--orphan-grace-seconds", "1"):
        await manager.worker.DispatchWorkflow(http_dispatch(target.url, seconds=600))
        await running(manager)
        await manager.stop()
        await asyncio.to_thread(_until_quiet, target)
        await manager.start()
        final = await manager.ended(SHARD)
        assert final.status == SHARD_STATUS_FAILED
        assert list(final.errors) == ["manager manager-1 was out of reach for 1 s"]
        assert requests_in(final) == target.requests() - before


async def test_a_shard_is_reported_to_the_manager_that_dispatched_it(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    second = FakeManager("manager-2")
    await second.start()
    addresses = f"{manager.address},{second.address}"
    async with running_worker(manager, tmp_path, "--cores", "1", "--managers", addresses):
        await second.until(lambda: bool(second.heartbeats), "a heartbeat")
        await second.worker.DispatchWorkflow(http_dispatch(target.url, iterations=20, manager_id="manager-2"))
        assert requests_in(await second.ended(SHARD)) == 20
        assert manager.frames == []
    await second.stop()


async def test_a_worker_waits_for_a_manager_that_is_not_there_yet(tmp_path: Path) -> None:
    late = FakeManager()
    await late.start()
    await late.stop()

    async def come() -> None:
        await asyncio.sleep(1)
        await late.start()

    coming = asyncio.ensure_future(come())
    async with running_worker(late, tmp_path, "--cores", "1"):
        await coming
        await late.until(
            lambda: bool(late.heartbeats) and late.heartbeats[-1].node.state == NODE_STATE_ACTIVE, "active"
        )
        assert late.registrations[0].node.datacenter == "dc-1"
    await late.stop()


async def test_the_control_process_answers_while_engines_use_every_core(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path) as worker:
        cores = len(worker.engines)
        load = http_dispatch(target.url, cores=cores, vus=8 * cores, seconds=600, think_ms=0)
        await manager.worker.DispatchWorkflow(load)
        await running(manager, requests=1000)
        clock = asyncio.get_running_loop().time
        for _ in range(20):
            asked_at = clock()
            await manager.worker.Ping(PingRequest())
            assert clock() - asked_at < 1


async def test_engines_inherit_no_socket_but_their_own(manager: FakeManager, tmp_path: Path) -> None:
    async with running_worker(manager, tmp_path, "--cores", "2") as worker:
        sockets = [_sockets(pid) for pid in (worker.pid, *worker.engines)]
        assert len(set().union(*sockets)) == sum(map(len, sockets))


async def test_engines_see_nothing_of_the_configuration(
    manager: FakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hush")
    monkeypatch.setenv("HYPERSCALE_WORKER_CORES", "1")
    async with running_worker(manager, tmp_path) as worker:
        (engine,) = worker.engines
        environment = _environment(engine)
        assert "SECRET" not in environment
        assert not [name for name in environment if name.startswith("HYPERSCALE")]


async def _all_cores_free(manager: FakeManager, cores: int) -> None:
    for _ in range(500):
        if (await manager.worker.Ping(PingRequest())).heartbeat.available_cores == cores:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {cores} free cores")


def _sockets(pid: int) -> set[str]:
    files = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    return {one for one in files if one.startswith("socket:")}


def _environment(pid: int) -> set[str]:
    return {one.partition("=")[0] for one in Path(f"/proc/{pid}/environ").read_text().split("\0")}


def _until_quiet(target: BundledTarget) -> None:
    """Wait until the target gets no more requests."""
    counts: list[int] = []

    def is_quiet() -> bool:
        counts.append(target.requests())
        return len(counts) > 20 and counts[-1] == counts[-20]

    eventually(is_quiet, what="the end of the load")
