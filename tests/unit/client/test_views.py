"""What people see: the summary, the plain lines, and the state that the live view draws."""

from __future__ import annotations

import io

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from hyperscale.client.models.cluster import ClusterLayout
from hyperscale.client.results import result_json
from hyperscale.client.views.live import LiveView
from hyperscale.client.views.numbers import bytes_text, clock_text, duration_text
from hyperscale.client.views.progress import JobProgress, expected_seconds
from hyperscale.client.views.request_figures import RequestFigures, figures_of
from hyperscale.client.views.summary import summary_text
from hyperscale.client.views.texts import TextOutput, plain_view, quiet_view
from hyperscale.client.views.thresholds import threshold_text
from hyperscale.v1.gate_service_pb2 import DatacenterMetrics, JobEvent, JobStatusPush, JobWindow
from hyperscale.v1.job_pb2 import (
    DatacenterStatus,
    GlobalJobStatus,
    JobStatus,
    JobSubmission,
    Threshold,
    ThresholdResult,
    Verdict,
)
from hyperscale.v1.statistics_pb2 import ErrorClass, ErrorCount, StepStats, UnreachableAddress, WorkflowStats
from hyperscale.v1.workflow_pb2 import ConstantVus, SharedIterations, Workflow
from tests.unit.client.samples import JOB_ID, failed_result, metrics


def events() -> list[JobEvent]:
    running = JobStatus.JOB_STATUS_RUNNING
    parts = [DatacenterMetrics(datacenter="dc-1", metrics=metrics(7))]
    errors = [ErrorCount(error_class=ErrorClass.ERROR_CLASS_RESET, count=3)]
    missed = Threshold(metric="http_req_failed", expression="rate < 1%")
    thresholds = [ThresholdResult(threshold=missed, observed=0.25), ThresholdResult(threshold=missed, passed=True)]
    window = JobWindow(
        metrics=metrics(8),
        totals=metrics(1234),
        datacenters=parts,
        request_errors=errors,
        thresholds=[*thresholds, thresholds[0]],
        elapsed=Duration(seconds=3),
    )
    push = JobStatusPush(status=running, datacenter="dc-1", datacenter_status=running)
    return [JobEvent(sequence=1, status=push), JobEvent(sequence=2, window=window)]


def test_summary_has_the_order_people_know() -> None:
    text = summary_text(JOB_ID, failed_result())
    words = (
        "THRESHOLDS",
        "CHECKS",
        "CUSTOM",
        "HTTP",
        "OTHER PROTOCOLS",
        "EXECUTION",
        "NETWORK",
        "ERRORS",
        "verdict: failed",
    )
    places = [text.index(f"{word}") for word in words]
    assert places == sorted(places)
    assert text.splitlines()[-1] == "verdict: failed"


def test_what_cannot_be_reached_is_named_with_its_address() -> None:
    refused = UnreachableAddress(address="127.0.0.1:9", error_class=ErrorClass.ERROR_CLASS_CONNECT, count=5)
    rare = UnreachableAddress(address="127.0.0.1:8", error_class=ErrorClass.ERROR_CLASS_CONNECT, count=1)
    errors = [ErrorCount(error_class=ErrorClass.ERROR_CLASS_CONNECT, count=6)]
    result = failed_result()
    del result.request_errors[:]
    result.request_errors.extend(errors)
    result.statistics[0].unreachable.extend([rare, refused])
    lines = summary_text(JOB_ID, result).splitlines()
    at = lines.index("ERRORS")
    rows = [line.replace(".", " ").split() for line in lines[at + 1 : at + 4]]
    assert rows == [["connect", "6"], ["127", "0", "0", "1:9", "5"], ["127", "0", "0", "1:8", "1"]]
    progress = JobProgress(None)
    progress.take(JobEvent(window=JobWindow(request_errors=errors, unreachable=[rare, refused])))
    assert progress.error_texts == ["connect 6 (127.0.0.1:9)"]


def test_failures_are_told_by_step_over_every_protocol() -> None:
    result = failed_result()
    del result.request_errors[:], result.statistics[:], result.datacenters[1:]
    status, timeout = ErrorClass.ERROR_CLASS_STATUS, ErrorClass.ERROR_CLASS_TIMEOUT
    talk = StepStats(step_name="talk", failures=[ErrorCount(error_class=status, count=1)])
    talk.protocols.add(protocol="ws", failures=[ErrorCount(error_class=status, count=4)])
    login = StepStats(step_name="login", failures=[ErrorCount(error_class=timeout, count=2)])
    setup = WorkflowStats(workflow_name="shop.setup", steps=[login])
    result.statistics.extend([WorkflowStats(workflow_name="shop", steps=[login, talk]), setup])
    result.request_errors.extend([ErrorCount(error_class=timeout, count=2), ErrorCount(error_class=status, count=5)])
    lines = summary_text(JOB_ID, result).splitlines()
    at = lines.index("ERRORS")
    rows = [line.replace(".", " ").split() for line in lines[at + 1 : at + 5]]
    assert rows == [["status", "5"], ["talk", "5"], ["timeout", "2"], ["login", "2"]]
    del result.datacenters[0].result.statistics[:]
    result.datacenters[0].result.statistics.extend(result.statistics)
    document = result_json(JOB_ID, result)
    (datacenter,) = document["datacenters"].values()
    assert datacenter["errors"] == document["errors"] == {"status": 5, "timeout": 2}
    found = [
        (entry["workflow"], entry["step"], entry["error_class"], entry["count"]) for entry in document["step_errors"]
    ]
    assert found == [
        ("shop", "login", "timeout", 2),
        ("shop", "talk", "status", 5),
        ("shop.setup", "login", "timeout", 2),
    ]


def test_a_job_without_thresholds_says_that_nothing_was_judged() -> None:
    result = failed_result()
    del result.thresholds[:]
    result.verdict = Verdict.VERDICT_PASSED
    assert summary_text(JOB_ID, result).splitlines()[-1] == "verdict: passed (no thresholds: nothing was judged)"
    assert result_json(JOB_ID, result)["judged"] is False
    assert result_json(JOB_ID, failed_result())["judged"] is True


def test_who_took_the_place_of_whom_is_told_with_the_reason() -> None:
    result = failed_result()
    assert result_json(JOB_ID, result)["fallbacks"] == []
    move = result.fallbacks.add(from_datacenter="east", to_datacenter="dc-1", reason="no answer")
    move.decided_at.FromSeconds(1_700_000_000)
    lines = summary_text(JOB_ID, result).splitlines()
    assert "  2023-11-14T22:13:20.000Z dc-1 took the place of east: no answer" in lines
    assert result_json(JOB_ID, result)["fallbacks"] == [
        {"from": "east", "to": "dc-1", "reason": "no answer", "at": "2023-11-14T22:13:20.000Z"}
    ]


def test_summary_marks_thresholds_and_shows_what_was_observed() -> None:
    text = summary_text(JOB_ID, failed_result())
    assert "✗ http_req_failed: rate < 1%  (observed 25%)" in text
    assert "✓ http_req_duration: p(95) < 300ms  (observed 31.25ms)" in text
    assert "✗ iteration_duration{workflow:browse}: max < 1s  (observed no sample)" in text


@pytest.mark.parametrize(
    ("metric", "expression", "observed", "text"),
    [
        ("http_req_failed", "rate < 1%", 0.010004, "1.0004%"),
        ("http_req_failed{step:home}", "count < 1", 12345678.0, "12,345,678"),
        ("http_req_duration", "max <= 300ms", 300.004, "300.004ms"),
        ("http_reqs", "rate > 10", 9.99987, "9.99987"),
        ("found", "rate < 50%", 0.75, "75%"),
    ],
)
def test_what_was_observed_does_not_look_like_the_limit_beside_it(
    metric: str, expression: str, observed: float, text: str
) -> None:
    outcome = ThresholdResult(threshold=Threshold(metric=metric, expression=expression), observed=observed)
    assert threshold_text(outcome) == f"✗ {metric}: {expression}  (observed {text})"


def test_summary_has_a_row_per_datacenter_and_step_and_every_column() -> None:
    lines = summary_text(JOB_ID, failed_result()).splitlines()
    header = next(line for line in lines if line.startswith("HTTP"))
    assert header.split() == ["HTTP", "avg", "min", "med", "max", "p(90)", "p(95)", "p(99)"]
    labels = ("http_req_duration", "dc-1.", "dc-2.", "home.", "login.")
    rows = [line.split()[1:] for line in lines if line.strip().startswith(labels)]
    assert rows == [["12.50ms", "250µs", "11.00ms", "2.50s", "20.00ms", "31.25ms", "90.00ms"]] * 5


def test_summary_shows_metrics_that_only_the_job_knows() -> None:
    lines = summary_text(JOB_ID, failed_result()).splitlines()
    rows = {line.split(".")[0].strip(): line.split()[1:] for line in lines}
    assert rows["cart_size"] == ["2.5", "1", "2", "9", "4", "5", "8"]
    assert rows["found"] == ["90.00%", "9"]
    assert rows["grpc_req_duration"][:3] == ["12.50ms", "250µs", "11.00ms"]


def test_summary_lists_checks_and_how_often_they_held() -> None:
    lines = summary_text(JOB_ID, failed_result()).splitlines()
    at = lines.index("CHECKS")
    assert lines[at + 1].split() == ["checks.......................", "99.50%", "199"]
    assert lines[at + 2 : at + 4] == ["    ✓ home: is fast", "    ✗ home: has a cart  (1,900 of 1,999)"]


def test_steps_of_several_workflows_are_told_apart_and_long_names_are_cut() -> None:
    result = failed_result()
    result.steps[1].workflow_name = "x" * 64
    lines = summary_text(JOB_ID, result).splitlines()
    assert any(line.strip().startswith("browse/home.") for line in lines)
    assert any(line.strip().startswith("…xxx") and "xxx/login. " in line for line in lines)


def test_a_single_step_has_no_row_of_its_own() -> None:
    result = failed_result()
    del result.steps[1].metrics["http_reqs"]
    assert "  home." not in summary_text(JOB_ID, result)


def test_plain_view_writes_a_line_per_second_and_then_the_summary() -> None:
    lines: list[str] = []
    with plain_view(JobProgress(10.0, clock=lambda: 5.0), TextOutput(lines.append, lines.append)) as view:
        view.submitted(JOB_ID)
        for event in events():
            view.happened(event)
    view.ended(JOB_ID, failed_result())
    assert lines[0] == f"job {JOB_ID}"
    assert lines[1] == "status: dc-1 running"
    assert lines[2].startswith("running 0:03/0:10")
    assert "requests 1,234" in lines[2]
    assert "reset 3" in lines[2]
    assert "✗ http_req_failed: rate < 1% and 1 more" in lines[2]
    assert lines[-1].endswith("verdict: failed")


def second_over(elapsed_seconds: float, requests: int) -> JobEvent:
    elapsed = Duration(nanos=int(elapsed_seconds % 1 * 1e9), seconds=int(elapsed_seconds))
    return JobEvent(window=JobWindow(metrics=metrics(5), totals=metrics(requests), elapsed=elapsed))


@pytest.mark.parametrize("first", [0.02, 0.42, 0.58, 0.98])
def test_plain_view_writes_each_second_of_the_load_once(first: float) -> None:
    """Seconds of the clock begin and end within those of the load: the last of them is a fraction of a second."""
    lines: list[str] = []
    view = plain_view(JobProgress(4.0, clock=lambda: 0.0), TextOutput(lines.append, lines.append))
    for elapsed in (first, first + 1, first + 2, first + 3, 4.0):
        view.happened(second_over(elapsed, int(elapsed * 100)))
    assert [line.split()[1] for line in lines] == ["0:01/0:04", "0:02/0:04", "0:03/0:04", "0:04/0:04"]


def test_views_say_what_a_job_waits_for_until_it_waits_no_more() -> None:
    lines: list[str] = []
    queued, running = JobStatus.JOB_STATUS_QUEUED, JobStatus.JOB_STATUS_RUNNING
    progress = JobProgress(None, clock=lambda: 0.0)
    view = plain_view(progress, TextOutput(lines.append, lines.append))
    waiting = JobStatusPush(
        status=queued, datacenter="east", datacenter_status=queued, message="no worker is registered"
    )
    view.happened(JobEvent(status=waiting))
    assert lines == ["status: east queued: no worker is registered"]
    assert list(progress.remarks.values()) == ["east queued: no worker is registered"]
    view.happened(JobEvent(status=JobStatusPush(status=running, datacenter="east", datacenter_status=running)))
    assert not progress.remarks
    here = DatacenterStatus(datacenter="east", status=queued, reason="no worker is registered")
    view.happened(JobEvent(snapshot=GlobalJobStatus(status=queued, datacenters=[here])))
    assert lines[-1] == "status: east queued: no worker is registered"


def test_plain_view_says_a_status_when_it_has_changed() -> None:
    lines: list[str] = []
    view = plain_view(JobProgress(None, clock=lambda: 0.0), TextOutput(lines.append, lines.append))
    queued, running = JobStatus.JOB_STATUS_QUEUED, JobStatus.JOB_STATUS_RUNNING

    def waits(name: str) -> JobEvent:
        push = JobStatusPush(status=queued, datacenter=name, datacenter_status=queued, message="no core is free")
        return JobEvent(status=push)

    for _ in range(2):
        for name in ("east", "west"):
            view.happened(waits(name))
        view.happened(JobEvent(status=JobStatusPush(status=queued)))
    here = DatacenterStatus(datacenter="east", status=queued, reason="no core is free")
    view.happened(JobEvent(snapshot=GlobalJobStatus(status=queued, datacenters=[here])))
    view.happened(JobEvent(status=JobStatusPush(status=running, datacenter="east", datacenter_status=running)))
    view.happened(waits("east"))
    waiting = [f"status: {name} queued: no core is free" for name in ("east", "west")]
    said = [line for line in lines if line.startswith("status: ")]
    assert said == [*waiting, "status: queued", "status: east running", waiting[0]]


def test_who_comes_late_sees_how_long_the_load_has_lasted() -> None:
    progress = JobProgress(60.0, clock=lambda: 100.0)
    progress.take(JobEvent(snapshot=GlobalJobStatus(status=JobStatus.JOB_STATUS_RUNNING)))
    progress.take(second_over(30.0, 5))
    assert progress.elapsed_seconds == 30.0


def test_requests_of_every_protocol_are_shown() -> None:
    sessions = {
        "ws_reqs": {"count": 30.0, "rate": 10.0},
        "ws_req_failed": {"rate": 0.1, "count": 3.0},
        "ws_req_duration": {"avg": 5.0},
        "cart_reqs": {"count": 1000.0, "rate": 500.0},
    }
    http = {
        "http_reqs": {"count": 10.0, "rate": 5.0},
        "http_req_failed": {"rate": 0.1, "count": 1.0},
        "http_req_duration": {"avg": 1.0},
    }
    assert figures_of(sessions) == RequestFigures(30, 10, 0.1, {"avg": 5.0})
    assert figures_of(http | sessions) == RequestFigures(40, 15, 0.1, {"avg": 5.0})
    assert figures_of(http) == RequestFigures(10, 5, 0.1, {"avg": 1.0})
    assert figures_of({}) == RequestFigures(0, 0, 0, {})


def test_numbers_of_the_summary_end_where_its_columns_end() -> None:
    lines = summary_text(JOB_ID, failed_result()).splitlines()
    (header,) = [line for line in lines if line.startswith("HTTP")]
    (counts,) = [line for line in lines if line.startswith("  http_reqs.")]
    count, rate = counts.split()[1:]
    assert counts.index(count) + len(count) == header.index("avg") + len("avg")
    assert counts.index(rate) + len(rate) == header.index("med") + len("med")
    assert not [line for line in lines if line.startswith("  vus.")]


def test_a_cluster_says_what_it_is() -> None:
    one = ClusterLayout(1, ("dc-1",), 1, 1, 2)
    assert str(one) == "1 gate; 1 manager and 1 worker with 2 cores in dc-1"
    several = ClusterLayout(3, ("east", "west"), 3, 2, 1)
    assert str(several) == "3 gates; 3 managers and 2 workers with 1 core in each of east, west"


def test_quiet_view_writes_the_summary_alone() -> None:
    lines: list[str] = []
    with quiet_view(TextOutput(lines.append, lines.append)) as view:
        view.submitted(JOB_ID)
        view.happened(events()[1])
    view.ended(JOB_ID, failed_result())
    assert lines == [summary_text(JOB_ID, failed_result())]


def test_live_view_shows_progress_datacenters_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    now = [0.0]
    progress = JobProgress(10.0, clock=lambda: now[0])
    with LiveView(progress, Console(file=screen, force_terminal=True, width=160, no_color=True)) as view:
        view.submitted(JOB_ID)
        for event in events():
            view.happened(event)
        now[0] = 4.0
        view.noted("cancelling the job")
    shown = screen.getvalue()
    assert "0:03 left" in shown
    assert "dc-1" in shown
    assert "1,234" in shown
    assert "reset 3" in shown
    assert "✓ http_req_failed: rate < 1%" in shown
    assert "✗ http_req_failed: rate < 1%  (observed 25%)" in shown
    assert "cancelling the job" in shown


def chain(*workflows: Workflow) -> JobSubmission:
    return JobSubmission(workflows=workflows)


def lasting(name: str, seconds: int, *depends_on: str) -> Workflow:
    load = ConstantVus(vus=1)
    load.duration.seconds = seconds
    return Workflow(name=name, constant_vus=load, depends_on=depends_on)


def test_expected_time_is_the_longest_chain() -> None:
    job = chain(lasting("c", 5, "a", "b"), lasting("a", 10), lasting("b", 3), lasting("d", 12))
    assert expected_seconds(job) == 15


def test_nobody_knows_how_long_iterations_take() -> None:
    job = chain(lasting("a", 1), Workflow(name="b", shared_iterations=SharedIterations(vus=1, iterations=5)))
    assert expected_seconds(job) is None


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "0s"), (0.95, "950µs"), (12.344, "12.34ms"), (1500, "1.50s"), (123_000, "2m03s")]
)
def test_durations_have_the_unit_that_fits(milliseconds: float, text: str) -> None:
    assert duration_text(milliseconds) == text


def test_bytes_and_clocks() -> None:
    assert [bytes_text(count) for count in (512, 1536, 3 * 1024**3)] == ["512 B", "1.50 KiB", "3.00 GiB"]
    assert [clock_text(seconds) for seconds in (7, 65, 3723)] == ["0:07", "1:05", "1:02:03"]
