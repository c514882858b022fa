"""Gates, managers and workers as processes, each with the options a test gives it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from hyperscale.v1.gate_service_pb2 import DatacenterInfo, DatacenterListRequest, GetJobRequest
from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.v1.job_pb2 import GlobalJobStatus
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeStatus
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.swim_pb2 import SWIM_STATE_ALIVE
from hyperscale.workload.jobfile import load_job_file
from tests.support.processes import eventually

DATACENTER = "east"
_CALL_SECONDS = 30


@dataclass(slots=True)
class Service:
    """One node."""

    node_id: str
    process: subprocess.Popen[bytes]
    log_file: Path
    address: str = ""

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(signal_number)

    def log(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """Lines of the log that say this, with these facts."""
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and facts.items() <= line.items()]

    def nodes(self) -> dict[str, NodeStatus]:
        """The members of the node's group, by name, as it sees them."""
        answer = self._call(MembershipServiceStub, "ListNodes", NodeListRequest())
        return {status.node.node_id: status for status in answer.nodes}

    def alive(self) -> set[str]:
        """Names of those that it takes for alive, itself included."""
        return {name for name, status in self.nodes().items() if status.state == SWIM_STATE_ALIVE}

    def ping_manager(self) -> ManagerPingResponse:
        """How a manager is."""
        answer: ManagerPingResponse = self._call(ManagerServiceStub, "Ping", PingRequest())
        return answer

    def datacenters(self) -> dict[str, DatacenterInfo]:
        """What a gate knows of its datacenters, by name."""
        answer = self._call(GateServiceStub, "ListDatacenters", DatacenterListRequest())
        return {info.datacenter: info for info in answer.datacenters}

    def submit(self, job_file: Path) -> str:
        """Give a gate a job; return its id."""
        job_id: str = self._call(GateServiceStub, "SubmitJob", load_job_file(job_file)).job_id
        return job_id

    def job(self, job_id: str) -> GlobalJobStatus:
        """How a job of a gate stands."""
        status: GlobalJobStatus = self._call(GateServiceStub, "GetJob", GetJobRequest(job_id=job_id))
        return status

    def ended(self, job_id: str, within_seconds: float) -> GlobalJobStatus:
        """Wait for a job's end."""

        def probe() -> GlobalJobStatus | None:
            status = self.job(job_id)
            return status if status.HasField("result") else None

        status = eventually(probe, within_seconds=within_seconds, what=f"the end of {job_id}")
        assert status is not None
        return status

    def _call(self, stub: Callable[[Any], Any], method: str, request: Message) -> Any:
        return answer_of(self.address, stub, method, request)


def answer_of(address: str, stub: Callable[[Any], Any], method: str, request: Message) -> Any:
    """One call; the stubs are typed for asyncio, and serve without as well."""
    with grpc.insecure_channel(address) as channel:
        return getattr(stub(channel), method)(request, timeout=_CALL_SECONDS)


class Services:
    """Starts nodes in one directory, in one datacenter."""

    def __init__(self, directory: Path, stack: ExitStack, options: Sequence[str]) -> None:
        self._directory = directory
        self._stack = stack
        self._options = options

    def gate(self, node_id: str, *options: str) -> Service:
        """A gate that is ready."""
        return self.ready(self.start("gate", node_id, "--store-url", self._store("gates"), *options))

    def manager(self, node_id: str, *options: str) -> Service:
        """A manager that is ready."""
        store = ("--store-url", self._store("datacenter"))
        return self.ready(self.start("manager", node_id, "--datacenter", DATACENTER, *store, *options))

    def worker(self, node_id: str, managers: str, *options: str) -> Service:
        """A worker with one core that is ready."""
        return self.ready(self.start_worker(node_id, managers, *options))

    def start_worker(self, node_id: str, managers: str, *options: str) -> Service:
        """A worker that may never become ready."""
        return self.start(
            "worker", node_id, "--datacenter", DATACENTER, "--managers", managers, "--cores", "1", *options
        )

    def start(self, role: str, node_id: str, *options: str) -> Service:
        """Start a node; do not wait."""
        log_file, ready = self._directory / f"{node_id}.log", self._ready_file(node_id)
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", f"hyperscale.{role}", "--node-id", node_id, "--ready-file", str(ready)]
        command += ["--parent-pid", str(os.getpid()), "--drain-timeout-seconds", "5", *self._options, *options]
        with log_file.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self._stack.callback(_end, process)
        return Service(node_id, process, log_file)

    def ready(self, service: Service) -> Service:
        """Wait until a node is ready, and note its address."""
        ready = self._ready_file(service.node_id)
        eventually(
            lambda: ready.exists() or service.process.poll() is not None,
            what=f"{service.node_id} ready",
        )
        assert ready.exists(), service.log_file.read_text()
        service.address = json.loads(ready.read_text())["address"]
        return service

    def _ready_file(self, node_id: str) -> Path:
        return self._directory / f"{node_id}.ready"

    def _store(self, name: str) -> str:
        return f"sqlite://{self._directory / name}.db"


@contextmanager
def services(directory: Path, *options: str) -> Iterator[Services]:
    """Nodes for the length of the block, all with these options."""
    with ExitStack() as stack:
        yield Services(directory, stack, options)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait(timeout=60)
