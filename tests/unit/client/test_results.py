"""The JSON that pipelines read."""

from __future__ import annotations

import json

from hyperscale.client.results import event_json, result_json
from hyperscale.client.views.summary import summary_text
from hyperscale.v1.gate_service_pb2 import DatacenterMetrics, JobEvent, JobStatusPush, JobWindow
from hyperscale.v1.job_pb2 import GlobalJobResult, JobStatus, Threshold, ThresholdResult, Verdict
from tests.unit.client.samples import JOB_ID, TREND, failed_result, metrics


def test_failed_job_says_everything() -> None:
    document = result_json(JOB_ID, failed_result())
    assert {key: document[key] for key in ("job_id", "status", "verdict", "started_at", "elapsed_seconds")} == {
        "job_id": JOB_ID,
        "status": "failed",
        "verdict": "failed",
        "started_at": "2026-03-01T12:00:00.123Z",
        "elapsed_seconds": 2.01,
    }
    assert document["errors"] == {"timeout": 10}
    assert document["reasons"] == ["worker dc-2-worker-1 was lost"]
    assert document["metrics"]["http_req_duration"] == TREND
    assert document["metrics"]["http_reqs"] == {"count": 40, "rate": 20.0}
    assert document["thresholds"][0] == {
        "metric": "http_req_failed",
        "expression": "rate < 1%",
        "observed": 0.25,
        "passed": False,
    }


def test_counts_are_integers_and_rates_are_not() -> None:
    values = result_json(JOB_ID, failed_result())["metrics"]
    assert type(values["http_reqs"]["count"]) is int
    assert type(values["data_received"]["count"]) is int
    assert type(values["vus_max"]["value"]) is int
    assert type(values["http_reqs"]["rate"]) is float


def test_each_datacenter_has_its_status_metrics_errors_and_reasons() -> None:
    parts = result_json(JOB_ID, failed_result())["datacenters"]
    assert parts["dc-1"]["status"] == "completed"
    assert parts["dc-1"]["metrics"]["http_reqs"]["count"] == 20
    assert parts["dc-1"]["errors"] == {"timeout": 5}
    assert "reasons" not in parts["dc-1"]
    assert parts["dc-2"]["reasons"] == ["worker dc-2-worker-1 was lost"]


def test_document_is_json_also_when_a_threshold_had_no_sample() -> None:
    document = json.loads(json.dumps(result_json(JOB_ID, failed_result()), allow_nan=False))
    assert document["thresholds"][2]["observed"] is None
    assert document["thresholds"][2]["abort_on_fail"] is True


def test_every_check_says_how_often_it_held() -> None:
    checks = result_json(JOB_ID, failed_result())["checks"]
    assert checks[1] == {"workflow": "browse", "step": "home", "name": "has a cart", "passes": 1900, "fails": 99}


def test_each_step_has_its_metrics_below_its_workflow() -> None:
    steps = result_json(JOB_ID, failed_result())["steps"]
    assert {workflow: list(metrics) for workflow, metrics in steps.items()} == {"browse": ["home", "login"]}
    assert steps["browse"]["login"]["http_reqs"] == {"count": 10, "rate": 5.0}
    assert steps["browse"]["login"]["http_req_duration"] == TREND


def test_job_without_load_has_no_start() -> None:
    empty = GlobalJobResult(status=JobStatus.JOB_STATUS_COMPLETED, verdict=Verdict.VERDICT_PASSED)
    document = result_json(JOB_ID, empty)
    assert (document["started_at"], document["elapsed_seconds"]) == (None, 0.0)
    assert "reasons" not in document


def test_status_of_a_datacenter_as_a_line() -> None:
    running = JobStatus.JOB_STATUS_RUNNING
    push = JobStatusPush(status=running, datacenter="dc-1", datacenter_status=running, message="2 of 2 workers")
    line = event_json(JobEvent(job_id=JOB_ID, sequence=3, status=push))
    assert line["event"] == "status"
    assert line["sequence"] == 3
    assert (line["datacenter"], line["datacenter_status"], line["message"]) == ("dc-1", "running", "2 of 2 workers")


def test_window_as_a_line() -> None:
    parts = [DatacenterMetrics(datacenter="dc-1", metrics=metrics(4))]
    rate = Threshold(metric="http_req_failed", expression="rate < 1%")
    outcomes = [ThresholdResult(threshold=rate, observed=0.25)]
    window = JobWindow(metrics=metrics(8), totals=metrics(80), datacenters=parts, thresholds=outcomes)
    line = event_json(JobEvent(job_id=JOB_ID, sequence=4, window=window))
    assert line["metrics"]["http_reqs"]["count"] == 8
    assert line["totals"]["http_reqs"]["count"] == 80
    assert line["datacenters"]["dc-1"]["http_reqs"]["count"] == 4
    (outcome,) = line["thresholds"]
    assert (outcome["metric"], outcome["observed"], outcome["passed"]) == ("http_req_failed", 0.25, False)


def test_status_of_a_newer_release_is_shown_as_its_number() -> None:
    result = GlobalJobResult()
    result.MergeFromString(GlobalJobResult.STATUS_FIELD_NUMBER.__lshift__(3).to_bytes(1, "big") + bytes([99]))
    assert result_json(JOB_ID, result)["status"] == "99"


def test_a_generator_at_its_limit_is_called_saturated() -> None:
    result = failed_result()
    assert result_json(JOB_ID, result)["generator"] == "unknown"
    for rate, state in ((0.0, "ok"), (0.049, "ok"), (0.05, "saturated")):
        result.metrics["generator_saturated"].values["rate"] = rate
        assert result_json(JOB_ID, result)["generator"] == state
        assert ("generator: saturated" in summary_text(JOB_ID, result)) == (state == "saturated")
