"""The engine as its control process meets it: it survives bad commands, and goes when the control process goes."""

import asyncio

from google.protobuf.empty_pb2 import Empty

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2
from hyperscale.worker.engine.frames import MAX_FRAME_BYTES
from tests.integration.engine.engine_process import (
    Engine,
    constant_vus,
    http_step,
    new_engine,
    running_engine,
    shared_iterations,
)
from tests.integration.engine.hostile_servers import hostile_server, sends, waits_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILED = progress_pb2.SHARD_STATUS_FAILED


async def assert_refused(engine: Engine, run_id: int, words: str) -> None:
    report = await engine.next_report()
    assert (report.run_id, report.progress.status) == (run_id, FAILED)
    assert words in report.progress.error


async def test_engine_runs_again_after_every_fault() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        engine.send(Empty())
        await assert_refused(engine, 0, "without content")
        engine.writer.write(b"\x00\x00\x00\x02\xff\xff")
        await assert_refused(engine, 0, "not an EngineCommand")
        engine.start(workflow_pb2.Workflow(name="empty"), run_id=3)
        await assert_refused(engine, 3, "no load")
        engine.start(constant_vus(http_step("a", "/"), vus=1, seconds=1), "gopher://x", run_id=4)
        await assert_refused(engine, 4, "scheme")
        engine.stop(graceful=False, run_id=99)
        for run_id in (5, 6):
            workflow = shared_iterations(http_step("a", "/"), vus=2, iterations=7)
            outcome = await engine.run(workflow, server.url, run_id)
            assert (outcome.last.status, outcome.total) == (progress_pb2.SHARD_STATUS_COMPLETED, 7)


async def test_second_start_is_refused_and_the_run_goes_on() -> None:
    async with hostile_server(waits_for(0.1, OK)) as server, running_engine() as engine:
        workflow = constant_vus(http_step("a", "/"), vus=2, seconds=0.6)
        engine.start(workflow, server.url, run_id=1)
        engine.start(workflow, server.url, run_id=2)
        await assert_refused(engine, 2, "run 1 is under way")
        outcome = await engine.outcome()
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.total > 4


async def test_stop_right_after_start() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        for run_id, graceful in enumerate((True, False), start=1):
            engine.start(constant_vus(http_step("a", "/"), vus=4, seconds=30), server.url, run_id)
            engine.stop(graceful=graceful, run_id=run_id)
            outcome = await engine.outcome(run_id)
            assert outcome.last.status == progress_pb2.SHARD_STATUS_CANCELLED
    assert server.requests < 20


async def test_nothing_to_do_ends_at_once() -> None:
    async with running_engine() as engine:
        outcome = await engine.run(constant_vus(http_step("a", "http://127.0.0.1:1/"), vus=0, seconds=30))
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert (outcome.total, outcome.last.totals.vus_max) == (0, 0)
    assert not outcome.last.HasField("started_at")
    assert [step.step_name for step in outcome.last.totals.steps] == ["a"]


async def test_progress_comes_once_a_second_with_its_window() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        outcome = await engine.run(constant_vus(http_step("a", "/"), vus=4, seconds=3.2), server.url)
    running = outcome.progress[:-1]
    # A busy machine makes a run longer, and a report late: its window comes with the next one.
    assert 3 <= len(running) <= 1 + outcome.elapsed_seconds
    seconds = [window.window_start.seconds for progress in outcome.progress for window in progress.windows]
    assert seconds == sorted(set(seconds))
    assert len(seconds) >= len(running)
    counts = [progress.totals.iterations for progress in outcome.progress]
    assert counts == sorted(counts)


async def test_engine_ends_with_its_control_process() -> None:
    async with hostile_server(waits_for(0.05, OK)) as server, new_engine() as engine:
        engine.start(constant_vus(http_step("a", "/"), vus=20, seconds=60), server.url)
        await engine.next_report()
        engine.writer.close()
        assert await asyncio.to_thread(engine.process.wait, 60) == 0


async def test_broken_framing_ends_the_engine_with_a_reason() -> None:
    async with new_engine() as engine:
        engine.writer.write((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
        await assert_refused(engine, 0, "longer than")
        assert await asyncio.to_thread(engine.process.wait, 60) == 0


async def test_command_may_come_in_pieces() -> None:
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        start = engine_pb2.EngineStart(
            run_id=1, workflow=shared_iterations(http_step("a", "/"), vus=1, iterations=1), target=server.url
        )
        payload = engine_pb2.EngineCommand(start=start).SerializeToString()
        for byte in len(payload).to_bytes(4, "big") + payload:
            engine.writer.write(bytes([byte]))
            await engine.writer.drain()
        assert (await engine.outcome()).total == 1
