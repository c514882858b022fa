"""A node's process: ready file, signals, exit codes, the loss of its parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.support.waiting import until
from tests.unit.runtime.echo import EchoStub, text

REPOSITORY = Path(__file__).parents[3]
DEADLINE_SECONDS = 30.0


@dataclass(slots=True)
class Sample:
    """Starts sample nodes and leaves none behind."""

    ready_file: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, *flags: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.unit.runtime.sample_node",
            "--ready-file",
            str(self.ready_file),
            *flags,
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def ready(self) -> dict[str, Any]:
        await until(self.ready_file.exists)
        facts: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return facts

    async def ended(self, *flags: str) -> tuple[int | None, str]:
        return await finished(await self.start(*flags))


@pytest.fixture
async def sample(tmp_path: Path) -> AsyncIterator[Sample]:
    sample = Sample(tmp_path / "run" / "ready.json")
    yield sample
    for process in sample.processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finished(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@pytest.mark.requirement("OPS.1")
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_node_serves_until_its_signal_and_exits_cleanly(sample: Sample, stop_signal: signal.Signals) -> None:
    process = await sample.start("--node-id", "node-7", "--datacenter", "east")
    facts = await sample.ready()
    assert facts["pid"] == process.pid
    assert (facts["role"], facts["node_id"], facts["datacenter"]) == ("sample", "node-7", "east")
    async with grpc.aio.insecure_channel(facts["address"]) as channel:
        assert await EchoStub(channel).Unary(text("a")) == text("a")
    process.send_signal(stop_signal)
    code, stderr = await finished(process)
    assert code == 0
    assert not sample.ready_file.exists()
    logged = [json.loads(line) for line in stderr.splitlines()]
    assert [line["event"] for line in logged] == ["serving", "draining"]
    assert all((line["role"], line["node_id"], line["datacenter"]) == ("sample", "node-7", "east") for line in logged)


async def test_a_second_signal_ends_the_node_at_once(sample: Sample) -> None:
    process = await sample.start("--behaviour", "hang")
    await sample.ready()
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while b"draining" not in await process.stderr.readline():
            pass
    process.send_signal(signal.SIGTERM)
    code, _ = await finished(process)
    assert code == 128 + signal.SIGTERM
    assert not sample.ready_file.exists()


async def test_a_node_that_does_not_drain_in_time_is_stopped_and_says_so(sample: Sample) -> None:
    process = await sample.start("--behaviour", "hang", "--drain-timeout-seconds", "0.2")
    await sample.ready()
    process.send_signal(signal.SIGTERM)
    code, stderr = await finished(process)
    assert code == 1
    assert "drain took too long" in stderr
    assert not sample.ready_file.exists()


async def test_configuration_faults_exit_with_104_and_one_message(sample: Sample) -> None:
    code, stderr = await sample.ended("--port", "x", "--behaviour", "nonsense")
    assert code == 104
    assert stderr.startswith("invalid configuration:\n")
    assert "port" in stderr
    assert "behaviour" in stderr
    assert "Traceback" not in stderr


async def test_configuration_faults_found_while_starting_are_the_same(sample: Sample) -> None:
    code, stderr = await sample.ended("--host", "0.0.0.0")
    assert code == 104
    assert "insecure" in stderr
    assert "Traceback" not in stderr


async def test_help_exits_with_zero(sample: Sample) -> None:
    process = await sample.start("--help")
    async with asyncio.timeout(DEADLINE_SECONDS):
        stdout, _ = await process.communicate()
    assert process.returncode == 0
    assert b"hyperscale-sample" in stdout


async def test_a_failure_to_start_is_logged_and_exits_with_one(sample: Sample) -> None:
    code, stderr = await sample.ended("--behaviour", "fail")
    assert code == 1
    assert "cannot start" in stderr
    assert all(json.loads(line) for line in stderr.splitlines())


async def test_work_that_failed_too_often_ends_the_node(sample: Sample) -> None:
    code, stderr = await sample.ended("--behaviour", "abandon")
    assert code == 1
    assert "unlucky failed too often" in stderr
    assert not sample.ready_file.exists()


async def test_a_main_that_is_done_ends_the_node(sample: Sample) -> None:
    code, _ = await sample.ended("--behaviour", "return")
    assert code == 0


async def test_a_node_drains_when_its_parent_is_gone(sample: Sample) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import os, subprocess, sys, time;"
        "subprocess.Popen([sys.executable, *sys.argv[1:], '--parent-pid', str(os.getpid())]);"
        "time.sleep(60)",
        "-m",
        "tests.unit.runtime.sample_node",
        "--ready-file",
        str(sample.ready_file),
        cwd=REPOSITORY,
        stderr=asyncio.subprocess.DEVNULL,
    )
    pid = int((await sample.ready())["pid"])
    try:
        parent.kill()
        await parent.wait()
        await until(lambda: not sample.ready_file.exists())
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
