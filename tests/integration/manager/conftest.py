"""Real manager processes between a gate and workers that the test plays."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from hyperscale.runtime.errors import HyperscaleError
from hyperscale.runtime.interceptors import client_interceptors, error_from_rpc
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobDispatch
from hyperscale.v1.job_pb2 import JobAck, JobStatus, JobSubmission
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.workflow_pb2 import Workflow
from tests.integration.manager.fakes import GATE_ID, FakeGate
from tests.support.shards import DATACENTER
from tests.support.waiting import until, until_answer

FAST = ("--leader-lease-ttl-seconds", "2", "--worker-loss-grace-seconds", "1", "--settle-seconds", "2")


@dataclass(slots=True)
class ManagerProcess:
    """A manager process and the calls a gate would make to it."""

    process: asyncio.subprocess.Process
    address: str
    stub: ManagerServiceStub

    async def submit(self, job_id: str, *workflows: Workflow, fence: int = 1, gate_id: str = GATE_ID) -> JobAck:
        """Dispatch a job; raises `HyperscaleError`."""
        submission = JobSubmission(target="http://127.0.0.1:9", workflows=workflows)
        request = JobDispatch(job_id=job_id, fence_token=fence, gate_id=gate_id, submission=submission)
        try:
            return await self.stub.SubmitJob(request)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error

    async def cancel(self, job_id: str, fence: int = 1) -> JobStatus.ValueType:
        """Cancel a job; raises `HyperscaleError`."""
        try:
            answer = await self.stub.CancelJob(JobCancelRequest(job_id=job_id, fence_token=fence, reason="enough"))
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return answer.status

    async def ping(self) -> ManagerPingResponse:
        """How the manager is."""
        return await self.stub.Ping(PingRequest(request_id="ping"))

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(how)
        async with asyncio.timeout(30):
            return await self.process.wait()


@dataclass(slots=True)
class Datacenter:
    """Starts managers on one store, for one gate."""

    directory: Path
    gate: FakeGate

    @asynccontextmanager
    async def manager(self, node_id: str = "manager-1", *options: str) -> AsyncIterator[ManagerProcess]:
        """A manager that is ready, for the length of the block."""
        ready = self.directory / f"{node_id}.json"
        ready.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "hyperscale.manager", "--node-id", node_id, "--datacenter", DATACENTER),
            *("--store-url", f"sqlite://{self.directory}/store.db", "--gates", self.gate.address),
            *("--ready-file", str(ready), "--log-format", "console", *FAST, *options),
        )
        try:
            await until(lambda: ready.exists() or process.returncode is not None, f"{node_id} ready")
            facts: dict[str, Any] = json.loads(ready.read_text())
            async with grpc.aio.insecure_channel(facts["address"], interceptors=client_interceptors(10)) as channel:
                yield ManagerProcess(process, facts["address"], ManagerServiceStub(channel))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def until_leads(self, manager: ManagerProcess) -> None:
        """Wait until the manager leads."""

        async def leads() -> bool:
            return (await manager.ping()).heartbeat.is_leader

        await until_answer(leads, "leadership")


async def refused(call: Any) -> HyperscaleError:
    """The error with which a call is refused."""
    try:
        await call
    except HyperscaleError as error:
        return error
    raise AssertionError("the call was not refused")


@pytest.fixture
async def datacenter(tmp_path: Path) -> AsyncIterator[Datacenter]:
    async with FakeGate() as gate:
        yield Datacenter(tmp_path, gate)


@pytest.fixture
async def manager(datacenter: Datacenter) -> AsyncIterator[ManagerProcess]:
    """A manager that leads."""
    async with datacenter.manager() as manager:
        await datacenter.until_leads(manager)
        yield manager
