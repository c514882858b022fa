"""The client for programs without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from hyperscale.client.client import Client
from hyperscale.client.models.settings import ClientSettings
from hyperscale.v1.dispatch_pb2 import JobCancelResponse
from hyperscale.v1.gate_service_pb2 import DatacenterInfo, DatacenterWorkflowStatus, JobEvent, JobSummary
from hyperscale.v1.job_pb2 import GlobalJobResult, GlobalJobStatus, JobAck, JobSubmission
from hyperscale.v1.membership_service_pb2 import NodeListResponse


class SyncClient:
    """`Client`, blocking. Use as a context manager, in one thread, outside any event loop."""

    def __init__(self, gates: Sequence[str], settings: ClientSettings | None = None) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(_connect(gates, settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._client.close())
        self._runner.close()

    def submit(self, submission: JobSubmission, idempotency_key: str | None = None) -> JobAck:
        """See `Client.submit`."""
        return self._runner.run(self._client.submit(submission, idempotency_key))

    def watch(self, job_id: str, after_sequence: int = 0) -> Iterator[JobEvent]:
        """See `Client.watch`."""
        events = self._client.watch(job_id, after_sequence)
        try:
            while True:
                try:
                    yield self._runner.run(events.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(events.aclose())

    def get(self, job_id: str) -> GlobalJobStatus:
        """See `Client.get`."""
        return self._runner.run(self._client.get(job_id))

    def result(self, job_id: str, wait_seconds: float = 0.0) -> GlobalJobResult:
        """See `Client.result`."""
        return self._runner.run(self._client.result(job_id, wait_seconds))

    def cancel(self, job_id: str, reason: str = "") -> JobCancelResponse:
        """See `Client.cancel`."""
        return self._runner.run(self._client.cancel(job_id, reason))

    def jobs(self, limit: int = 100) -> list[JobSummary]:
        """See `Client.jobs`."""
        return self._runner.run(self._client.jobs(limit))

    def query_workflows(self, job_id: str = "", workflow_names: Sequence[str] = ()) -> list[DatacenterWorkflowStatus]:
        """See `Client.query_workflows`."""
        return self._runner.run(self._client.query_workflows(job_id, workflow_names))

    def datacenters(self) -> list[DatacenterInfo]:
        """See `Client.datacenters`."""
        return self._runner.run(self._client.datacenters())

    def nodes(self) -> NodeListResponse:
        """See `Client.nodes`."""
        return self._runner.run(self._client.nodes())


async def _connect(gates: Sequence[str], settings: ClientSettings | None) -> Client:
    return Client(gates, settings)
