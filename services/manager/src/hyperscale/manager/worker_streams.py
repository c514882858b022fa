"""Streams of workers: who is on the other side, and what becomes of each frame."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hyperscale.manager.extension_desk import ExtensionDesk
from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.sync import HeartbeatIngest, ProgressIngest
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.v1.node_pb2 import NodeInfo
from hyperscale.v1.progress_pb2 import WorkerHeartbeat, WorkerReport, WorkflowProgressAck


class WorkerStreams:
    """Registers workers and takes over their frames. A stream says with its first frame, a heartbeat, whose it is."""

    def __init__(
        self,
        *,
        workers: WorkerRegistry,
        heartbeats: HeartbeatIngest,
        progress: ProgressIngest,
        extensions: ExtensionDesk,
        health: ManagerHealth,
    ) -> None:
        self._workers = workers
        self._heartbeats = heartbeats
        self._progress = progress
        self._extensions = extensions
        self._health = health

    def register(self, heartbeat: WorkerHeartbeat) -> NodeInfo:
        """Admit a worker; returns who this manager is. Raises INVALID_ARGUMENT, WRONG_CLUSTER or OVERLOADED."""
        self._workers.register(heartbeat)
        return self._health.heartbeat().node

    async def take(self, reports: AsyncIterator[WorkerReport]) -> AsyncIterator[WorkflowProgressAck]:
        """What is said to each frame that has been taken over, until the stream ends.

        Raises INVALID_ARGUMENT when the first frame is no heartbeat, and NOT_REGISTERED when its sender has not
        registered here, was taken for lost, or speaks on a newer stream.
        """
        first = await anext(reports, None)
        if first is None:
            return
        if not first.HasField("heartbeat"):
            fault = FieldViolation("heartbeat", "must be the first frame of a stream")
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=[fault])
        worker_id = first.heartbeat.node.node_id
        connection = self._workers.connect(worker_id)
        try:
            yield self._take_one(worker_id, first)
            async for report in reports:
                if not self._workers.is_current(worker_id, connection):
                    raise HyperscaleError(ErrorReason.NOT_REGISTERED, metadata={"caller": worker_id})
                yield self._take_one(worker_id, report)
        finally:
            self._workers.disconnect(worker_id, connection)

    def _take_one(self, worker_id: str, report: WorkerReport) -> WorkflowProgressAck:
        ack = WorkflowProgressAck(report_sequence=report.report_sequence)
        if report.HasField("heartbeat") and report.heartbeat.node.node_id == worker_id:
            self._heartbeats.take(report.heartbeat)
            ack.extensions.extend(self._extensions.answer(worker_id, report.heartbeat.extension_requests))
        elif report.HasField("progress"):
            self._progress.take(worker_id, report.progress)
        return ack
