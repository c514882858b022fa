"""Calls passed on to the gate that owns the job, once."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc.aio

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import LEADER_KEY, ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import answer_of, error_from_rpc
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, record_pb2
from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.v1.protocol import FORWARDED_METADATA_KEY, JOB_ID_METADATA_KEY

_FORWARDED = ((FORWARDED_METADATA_KEY, "1"),)


class OwnerGates:
    """The other gates, as owners of jobs.

    Parameters
    ----------
    timeout_seconds
        Longest wait for one answer.
    """

    def __init__(self, pool: ChannelPool, timeout_seconds: float) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds

    async def submit_job(self, address: str, job_id: str, submission: job_pb2.JobSubmission) -> job_pb2.JobAck:
        """SubmitJob at the gate that is to own the job."""
        metadata = (*_FORWARDED, (JOB_ID_METADATA_KEY, job_id))
        stub: GateServiceStub = self._pool.stub(address, GateServiceStub)
        return await answer_of(stub.SubmitJob(submission, timeout=self._timeout_seconds, metadata=metadata))

    async def get_job(
        self, record: record_pb2.JobRecord, request: gate_service_pb2.GetJobRequest
    ) -> job_pb2.GlobalJobStatus:
        """GetJob at the owner."""
        stub = self._stub(record)
        return await answer_of(stub.GetJob(request, timeout=self._timeout_seconds, metadata=_FORWARDED))

    async def cancel_job(
        self, record: record_pb2.JobRecord, request: dispatch_pb2.JobCancelRequest
    ) -> dispatch_pb2.JobCancelResponse:
        """CancelJob at the owner."""
        stub = self._stub(record)
        return await answer_of(stub.CancelJob(request, timeout=self._timeout_seconds, metadata=_FORWARDED))

    async def watch_job(
        self, record: record_pb2.JobRecord, request: gate_service_pb2.WatchJobRequest
    ) -> AsyncGenerator[gate_service_pb2.JobEvent, None]:
        """WatchJob at the owner."""
        call = self._stub(record).WatchJob(request, metadata=_FORWARDED)
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        finally:
            call.cancel()

    def _stub(self, record: record_pb2.JobRecord) -> GateServiceStub:
        return self._pool.stub(owner_address(record), GateServiceStub)


def owner_address(record: record_pb2.JobRecord) -> str:
    """Where the owner of a job listens."""
    return Endpoint(record.gate_endpoint.host, record.gate_endpoint.port).address


def not_owner(record: record_pb2.JobRecord) -> HyperscaleError:
    """The answer to a forwarded call that arrived at a gate which does not own the job either."""
    return HyperscaleError(ErrorReason.NOT_OWNER, metadata={LEADER_KEY: owner_address(record)})
