"""A manager as workers see it: registers them, takes their frames, and acknowledges what it wants to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.manager_ingest_service_pb2 import RegistrationResponse, WorkerRegistration
from hyperscale.v1.manager_ingest_service_pb2_grpc import (
    ManagerIngestServiceServicer,
    add_ManagerIngestServiceServicer_to_server,
)
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER, NodeInfo
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_GRANTED,
    SHARD_STATUS_RUNNING,
    ExtensionAnswer,
    ExtensionRequest,
    WorkerHeartbeat,
    WorkerReport,
    WorkflowProgress,
    WorkflowProgressAck,
)
from hyperscale.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.support.waiting import PATIENCE_SECONDS

MANAGER_ID = "manager-1"


@dataclass(slots=True)
class FakeManager(ManagerIngestServiceServicer):
    """Records what workers say; every frame it has seen is kept, repeated ones too."""

    manager_id: str = MANAGER_ID
    port: int = 0
    acknowledges: bool = True
    registrations: list[WorkerHeartbeat] = field(default_factory=list)
    heartbeats: list[WorkerHeartbeat] = field(default_factory=list)
    frames: list[WorkerReport] = field(default_factory=list)
    first_frames: list[WorkerReport] = field(default_factory=list)
    _server: grpc.aio.Server | None = None
    _channel: grpc.aio.Channel | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Listen, at the same port as before when there was one."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        add_ManagerIngestServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every connection; nothing listens any more."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def worker(self) -> WorkerServiceStub:
        """The worker that registered last."""
        if self._channel is None:
            endpoint = self.registrations[-1].node.endpoint
            self._channel = grpc.aio.insecure_channel(f"{endpoint.host}:{endpoint.port}")
        return WorkerServiceStub(self._channel)

    def progress(self, shard_id: str) -> list[WorkflowProgress]:
        """Reports on a shard, in order, each once, as a manager would take them."""
        taken: dict[int, WorkflowProgress] = {}
        for frame in self.frames:
            if frame.progress.shard_id == shard_id and frame.progress.progress_sequence > max(taken, default=0):
                taken[frame.progress.progress_sequence] = frame.progress
        return list(taken.values())

    def final(self, shard_id: str) -> WorkflowProgress | None:
        """The terminal report on a shard; None before it has come."""
        return next((one for one in self.progress(shard_id) if one.status != SHARD_STATUS_RUNNING), None)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that shows in what workers say."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}") from None

    async def ended(self, shard_id: str) -> WorkflowProgress:
        """Wait for a shard's terminal report."""
        await self.until(lambda: self.final(shard_id) is not None, f"the end of {shard_id}")
        final = self.final(shard_id)
        assert final is not None
        return final

    async def RegisterWorker(
        self, request: WorkerRegistration, context: grpc.aio.ServicerContext[Any, Any]
    ) -> RegistrationResponse:
        self.registrations.append(request.heartbeat)
        self._news.set()
        return RegistrationResponse(manager=NodeInfo(node_id=self.manager_id, role=NODE_ROLE_MANAGER))

    async def StreamProgress(
        self, request_iterator: AsyncIterator[WorkerReport], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WorkflowProgressAck]:
        is_first = True
        async for frame in request_iterator:
            if is_first:
                self.first_frames.append(frame)
                is_first = False
            self._take(frame)
            if frame.heartbeat.extension_requests:
                yield WorkflowProgressAck(extensions=map(_granted, frame.heartbeat.extension_requests))
            if frame.HasField("progress") and self.acknowledges:
                yield WorkflowProgressAck(report_sequence=frame.report_sequence)

    def _take(self, frame: WorkerReport) -> None:
        if frame.HasField("heartbeat"):
            self.heartbeats.append(frame.heartbeat)
        else:
            self.frames.append(frame)
        self._news.set()


def _granted(request: ExtensionRequest) -> ExtensionAnswer:
    """Half a minute more."""
    answer = ExtensionAnswer(shard_id=request.shard_id, attempt=request.attempt, outcome=EXTENSION_OUTCOME_GRANTED)
    answer.time_left.FromSeconds(30)
    return answer


class Contented:
    """Nobody needs more time."""

    def extension_requests(self) -> tuple[ExtensionRequest, ...]:
        return ()

    def extension_answered(self, answer: ExtensionAnswer) -> None:
        raise AssertionError(answer)


def http_dispatch(target: str, shard_id: str = "job-1/browse/0", **fields: Any) -> WorkflowDispatch:
    """A shard of two users for two seconds on one core, unless told otherwise."""
    dispatch = WorkflowDispatch(
        job_id=shard_id.partition("/")[0],
        shard_id=shard_id,
        attempt=1,
        fence_token=1,
        target=target,
        cores=1,
        manager_id=MANAGER_ID,
    )
    dispatch.workflow.name = "browse"
    step = dispatch.workflow.steps.add(name="home")
    step.http.url = "/"
    load = fields.pop("iterations", None)
    vus = fields.pop("vus", 2)
    if load is None:
        dispatch.workflow.constant_vus.vus = vus
        dispatch.workflow.constant_vus.duration.FromMilliseconds(int(fields.pop("seconds", 2) * 1000))
        # It leaves the machine to what is tested.
        dispatch.workflow.think_time.constant.FromMilliseconds(fields.pop("think_ms", 5))
    else:
        dispatch.workflow.shared_iterations.vus = vus
        dispatch.workflow.shared_iterations.iterations = load
    for name, value in fields.items():
        setattr(dispatch, name, value)
    return dispatch
