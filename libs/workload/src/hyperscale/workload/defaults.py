"""Reads of a submission with the contract's defaults applied: the only place that knows them."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.timestamps import nanoseconds_of, seconds_of

ArrivalRate = workflow_pb2.ConstantArrivalRate | workflow_pb2.RampingArrivalRate

JOB_TIMEOUT_SECONDS: Final = 3600.0
GRACEFUL_STOP_SECONDS: Final = 30.0
TIME_UNIT_NS: Final = 1_000_000_000
REQUEST_TIMEOUT_SECONDS: Final = 60.0
DATAGRAM_TIMEOUT_SECONDS: Final = 5.0
MAX_DURATION_SECONDS: Final = 600.0
ONCE_TIMEOUT_SECONDS: Final = 60.0
DATACENTER_WEIGHT: Final = 1
MAX_REDIRECTS: Final = 10
DNS_TTL_SECONDS: Final = 60.0
EXPECTED_STATUSES: Final = frozenset(range(200, 400))


def job_timeout_seconds(submission: job_pb2.JobSubmission) -> float:
    """Longest time from acceptance to the end."""
    return seconds_of(submission.timeout) if submission.HasField("timeout") else JOB_TIMEOUT_SECONDS


def distribution_of(submission: job_pb2.JobSubmission) -> job_pb2.Distribution.ValueType:
    """What each datacenter runs: REPLICATE or SPLIT."""
    return submission.distribution or job_pb2.DISTRIBUTION_REPLICATE


def datacenter_weight(submission: job_pb2.JobSubmission, datacenter: str) -> int:
    """Relative share of a datacenter when the job is SPLIT."""
    return submission.datacenters.weights.get(datacenter, DATACENTER_WEIGHT)


def priority_of(workflow: workflow_pb2.Workflow) -> workflow_pb2.Priority.ValueType:
    """Priority, never UNSPECIFIED."""
    return workflow.priority or workflow_pb2.PRIORITY_AUTO


def graceful_stop_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Longest wait for iterations under way; 0 interrupts at once."""
    return seconds_of(workflow.graceful_stop) if workflow.HasField("graceful_stop") else GRACEFUL_STOP_SECONDS


def graceful_ramp_down_seconds(load: workflow_pb2.RampingVus) -> float:
    """Longest wait for the iteration under way of a user that leaves; 0 interrupts at once."""
    return seconds_of(load.graceful_ramp_down) if load.HasField("graceful_ramp_down") else GRACEFUL_STOP_SECONDS


def max_duration_seconds(load: workflow_pb2.SharedIterations | workflow_pb2.PerVuIterations) -> float:
    """Time after which no iteration of a stock starts any more."""
    return seconds_of(load.max_duration) if load.HasField("max_duration") else MAX_DURATION_SECONDS


def time_unit_ns(load: ArrivalRate) -> int:
    """Time in which as many iterations start as the rate says, in nanoseconds."""
    return nanoseconds_of(load.time_unit) if load.HasField("time_unit") else TIME_UNIT_NS


def max_vus(load: ArrivalRate) -> int:
    """Most users of an arrival rate, over all parts."""
    return load.max_vus or load.pre_allocated_vus


def warm_up_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Time from the start whose measurements are left out."""
    return seconds_of(workflow.warm_up)


def once_per(workflow: workflow_pb2.Workflow) -> workflow_pb2.OnceScope.ValueType:
    """Where setup and teardown are done: JOB or DATACENTER."""
    return workflow.once_per or workflow_pb2.ONCE_SCOPE_JOB


def setup_timeout_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Longest time for the setup."""
    return seconds_of(workflow.setup_timeout) if workflow.HasField("setup_timeout") else ONCE_TIMEOUT_SECONDS


def teardown_timeout_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Longest time for the teardown."""
    return seconds_of(workflow.teardown_timeout) if workflow.HasField("teardown_timeout") else ONCE_TIMEOUT_SECONDS


def method_name(http: workflow_pb2.HttpRequest) -> str:
    """Method as HTTP spells it, for example ``GET``."""
    method = http.method or workflow_pb2.HTTP_METHOD_GET
    return workflow_pb2.HttpMethod.Name(method).removeprefix("HTTP_METHOD_")


def request_timeout_seconds(http: workflow_pb2.HttpRequest) -> float:
    """Longest time for one request, and for connecting."""
    return seconds_of(http.timeout) if http.HasField("timeout") else REQUEST_TIMEOUT_SECONDS


def session_timeout_seconds(session: workflow_pb2.WebSocketSession | workflow_pb2.TcpSession) -> float:
    """Longest time for a WebSocket or TCP session, from connecting to its end."""
    return seconds_of(session.timeout) if session.HasField("timeout") else REQUEST_TIMEOUT_SECONDS


def exchange_timeout_seconds(exchange: workflow_pb2.UdpExchange) -> float:
    """Longest time for a UDP step."""
    return seconds_of(exchange.timeout) if exchange.HasField("timeout") else DATAGRAM_TIMEOUT_SECONDS


def call_timeout_seconds(call: workflow_pb2.GrpcCall) -> float:
    """Longest time for a gRPC call, connecting included."""
    return seconds_of(call.timeout) if call.HasField("timeout") else REQUEST_TIMEOUT_SECONDS


def connect_timeout_seconds(http: workflow_pb2.HttpRequest) -> float:
    """Longest time for connecting."""
    return _phase_seconds(http.connect_timeout if http.HasField("connect_timeout") else None, http)


def tls_timeout_seconds(http: workflow_pb2.HttpRequest) -> float:
    """Longest time for the TLS handshake."""
    return _phase_seconds(http.tls_timeout if http.HasField("tls_timeout") else None, http)


def first_byte_timeout_seconds(http: workflow_pb2.HttpRequest) -> float:
    """Longest time from the first byte sent to the first byte received."""
    return _phase_seconds(http.first_byte_timeout if http.HasField("first_byte_timeout") else None, http)


def _phase_seconds(phase: Duration | None, http: workflow_pb2.HttpRequest) -> float:
    whole = request_timeout_seconds(http)
    return whole if phase is None else min(whole, seconds_of(phase))


def max_redirects(http: workflow_pb2.HttpRequest) -> int:
    """Redirects to follow."""
    return http.max_redirects if http.HasField("max_redirects") else MAX_REDIRECTS


def dns_ttl_seconds(options: workflow_pb2.HttpOptions) -> float:
    """How long looked-up addresses are used."""
    return seconds_of(options.dns_ttl) if options.HasField("dns_ttl") else DNS_TTL_SECONDS


def expected_statuses(http: workflow_pb2.HttpRequest) -> Container[int]:
    """Response statuses that count as success."""
    return frozenset(http.expected_statuses) or EXPECTED_STATUSES
