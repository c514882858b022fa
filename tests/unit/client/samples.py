"""A finished job with everything in it."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hyperscale.v1.job_pb2 import (
    DatacenterResult,
    GlobalJobResult,
    JobFinalResult,
    JobStatus,
    Threshold,
    ThresholdResult,
    Verdict,
)
from hyperscale.v1.statistics_pb2 import (
    CheckStats,
    ErrorClass,
    ErrorCount,
    MetricTotals,
    MetricValues,
    ProtocolStats,
    RateTotals,
    StepMetrics,
    StepStats,
    WorkflowStats,
)

JOB_ID = "local-1-gate-1-1"
TREND = {"avg": 12.5, "min": 0.25, "med": 11.0, "max": 2500.0, "p(90)": 20.0, "p(95)": 31.25, "p(99)": 90.0}


def metrics(count: int) -> dict[str, MetricValues]:
    return {
        "checks": MetricValues(values={"rate": 0.995, "count": 199}),
        "cart_size": MetricValues(
            values={"avg": 2.5, "min": 1, "med": 2, "max": 9, "p(90)": 4, "p(95)": 5, "p(99)": 8}
        ),
        "found": MetricValues(values={"rate": 0.9, "count": 9}),
        "grpc_req_duration": MetricValues(values=TREND),
        "http_reqs": MetricValues(values={"count": count, "rate": count / 2}),
        "http_req_duration": MetricValues(values=TREND),
        "http_req_failed": MetricValues(values={"rate": 0.25, "count": count / 4}),
        "data_received": MetricValues(values={"count": 1536.0, "rate": 768.0}),
        "vus_max": MetricValues(values={"value": 4.0}),
    }


def datacenter(name: str, status: JobStatus.ValueType, *reasons: str) -> DatacenterResult:
    failures = [ErrorCount(error_class=ErrorClass.ERROR_CLASS_TIMEOUT, count=5)]
    statistics = [WorkflowStats(workflow_name="browse", steps=[StepStats(step_name="home", failures=failures)])]
    result = JobFinalResult(datacenter=name, status=status, errors=reasons, statistics=statistics)
    return DatacenterResult(result=result, metrics=metrics(20))


def step(name: str, count: int) -> StepMetrics:
    shown = ("http_reqs", "http_req_duration", "http_req_failed", "data_received")
    return StepMetrics(workflow_name="browse", step_name=name, metrics={key: metrics(count)[key] for key in shown})


def measured() -> WorkflowStats:
    home = StepStats(
        step_name="home",
        checks=[CheckStats(name="is fast", passes=1999), CheckStats(name="has a cart", passes=1900, fails=99)],
        protocols=[ProtocolStats(protocol="grpc", total_count=5)],
    )
    orders = MetricTotals(name="found", rate=RateTotals(matching=9, total=10))
    return WorkflowStats(workflow_name="browse", steps=[home], custom_metrics=[orders])


def failed_result() -> GlobalJobResult:
    started_at, elapsed = Timestamp(), Duration()
    started_at.FromDatetime(datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC))
    elapsed.FromMilliseconds(2010)
    rate = Threshold(metric="http_req_failed", expression="rate < 1%")
    p95 = Threshold(metric="http_req_duration", expression="p(95) < 300ms")
    never = Threshold(metric="iteration_duration{workflow:browse}", expression="max < 1s", abort_on_fail=True)
    return GlobalJobResult(
        status=JobStatus.JOB_STATUS_FAILED,
        verdict=Verdict.VERDICT_FAILED,
        errors=["worker dc-2-worker-1 was lost"],
        started_at=started_at,
        elapsed=elapsed,
        datacenters=[
            datacenter("dc-1", JobStatus.JOB_STATUS_COMPLETED),
            datacenter("dc-2", JobStatus.JOB_STATUS_FAILED, "worker dc-2-worker-1 was lost"),
        ],
        metrics=metrics(40),
        thresholds=[
            ThresholdResult(threshold=rate, observed=0.25, passed=False),
            ThresholdResult(threshold=p95, observed=31.25, passed=True),
            ThresholdResult(threshold=never, passed=False),
        ],
        statistics=[measured()],
        steps=[step("home", 30), step("login", 10)],
        request_errors=[ErrorCount(error_class=ErrorClass.ERROR_CLASS_TIMEOUT, count=10)],
    )
