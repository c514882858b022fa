"""Thresholds: exact, over everything or narrowed by tags, with helpful refusals."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import job_pb2, statistics_pb2, workflow_pb2
from hyperscale.workload.metric_catalogue import METRICS
from hyperscale.workload.metric_selector import MetricSelector, MetricSelectorError, parse_selector
from hyperscale.workload.metrics import JobMetrics, MetricSource
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.thresholds import ThresholdSyntaxError, parse_threshold
from hyperscale.workload.totals import CounterTotals, GaugeTotals, RateTotals, TrendTotals
from hyperscale.workload.validation import validate_submission
from tests.unit.workload.test_metrics import measured


def judge(metric: str, expression: str, *workflows: WorkflowStatistics) -> tuple[float | None, bool]:
    source = MetricSource(workflows, 10.0)
    return parse_threshold(metric, expression).evaluate(JobMetrics(source, {"dc-1": source}))


def requests(failed: int, total: int, workflow: str = "shop", step: str = "home") -> WorkflowStatistics:
    statistics = WorkflowStatistics(workflow)
    statistics.step(step).total_count = total
    statistics.step(step).failures[statistics_pb2.ERROR_CLASS_STATUS] = failed
    return statistics


@pytest.mark.parametrize(
    ("metric", "expression", "observed", "passed"),
    [
        ("http_req_duration", "p(95) < 300ms", 86, True),
        ("http_req_duration", "p(95)<0.05s", 86, False),
        ("http_req_duration", " p( 99.9 ) <= 1m ", 90, True),
        ("http_req_duration", "avg < 45", 45.5, False),
        ("http_req_duration", "min >= 1", 1, True),
        ("http_req_duration", "max > 90000us", 90, False),
        ("http_req_duration", "med != 0", 45, True),
        ("http_req_failed", "rate < 1%", 0.1, False),
        ("http_req_failed", "rate<=10%", 0.1, True),
        ("http_req_failed", "rate<0.2", 0.1, True),
        ("http_req_failed", "count == 10", 10, True),
        ("http_reqs", "count >= 100", 100, True),
        ("http_reqs", "rate > 10", 10, False),
        ("vus_max", "value == 5", 5, True),
        ("http_req_duration{step:home}", "max < 57", 56, True),
        ("http_req_duration{step:cart}", "max < 57", 90, False),
        ("http_req_failed{ workflow : browse , step : cart }", "rate < 15.1%", 0.15, True),
        ("iterations{workflow:browse}", "count == 50", 50, True),
        ("http_reqs{datacenter:dc-1,step:home}", "rate == 6", 6, True),
    ],
)
def test_thresholds(metric: str, expression: str, observed: float, passed: bool) -> None:
    value, held = judge(metric, expression, measured())
    assert value == pytest.approx(observed, rel=0.0055)
    assert held is passed


@pytest.mark.parametrize(
    ("metric", "expression", "message"),
    [
        (
            "http_req_failed",
            "rate < 5",
            "rates of http_req_failed are between 0 and 1 (0% and 100%), not 5; did you mean 5%?",
        ),
        ("http_req_failed{step:home}", "rate<=1.5", "not 1.5; did you mean 1.5%?"),
        ("checks", "rate > 500%", "rates of checks are between 0 and 1 (0% and 100%), not 500%"),
        ("checks", "rate > 101", "(0% and 100%), not 101"),
    ],
)
def test_a_rate_above_everything_is_a_fault(metric: str, expression: str, message: str) -> None:
    with pytest.raises(ThresholdSyntaxError) as fault:
        parse_threshold(metric, expression)
    assert str(fault.value).endswith(message)


@pytest.mark.parametrize(
    ("metric", "expression"),
    [("checks", "rate >= 1"), ("checks", "rate >= 100%"), ("http_req_failed", "count < 5"), ("grpc_reqs", "rate > 5")],
)
def test_all_is_not_too_much_and_speed_is_no_share(metric: str, expression: str) -> None:
    assert parse_threshold(metric, expression).limit >= 1


@pytest.mark.parametrize(
    ("metric", "observed"),
    [
        ("http_reqs", 240),
        ("http_reqs{datacenter:east}", 40),
        ("http_reqs{datacenter:west}", 200),
        ("http_reqs{workflow:shop}", 110),
        ("http_reqs{step:home}", 210),
        ("http_reqs{workflow:shop,step:home}", 80),
        ("http_reqs{workflow:shop,step:home,datacenter:east}", 10),
        ("http_reqs{datacenter:north}", 0),
    ],
)
def test_tags_choose_what_is_counted(metric: str, observed: float) -> None:
    east = [requests(0, 10), requests(0, 30, step="cart")]
    west = [requests(0, 70), requests(0, 130, workflow="admin")]
    parts = {"east": MetricSource(east, 1.0), "west": MetricSource(west, 1.0)}
    metrics = JobMetrics(MetricSource([*east, *west], 1.0), parts)
    assert parse_threshold(metric, "count >= 0").evaluate(metrics) == (observed, True)


@pytest.mark.parametrize(
    "metric", ["http_req_duration", "http_req_failed", "iteration_duration", "vus", "http_req_duration{datacenter:x}"]
)
def test_a_threshold_without_any_sample_does_not_hold(metric: str) -> None:
    expression = {"http_req_failed": "rate < 1%", "vus": "value >= 0"}.get(metric, "p(95) < 300ms")
    assert judge(metric, expression) == (None, False)


def test_what_nobody_counted_did_not_happen() -> None:
    assert judge("http_reqs", "count < 1") == (0.0, True)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(0, 10_000))
def test_a_share_is_compared_as_if_exactly(failed: int, total: int, hundredths: int) -> None:
    failed = min(failed, total)
    limit = Fraction(hundredths, 10_000)
    for comparison, holds in (("<", Fraction(failed, total) < limit), ("<=", Fraction(failed, total) <= limit)):
        for text in (f"{hundredths / 100:.2f}%", f"{hundredths / 10_000:.4f}"):
            assert judge("http_req_failed", f"rate {comparison} {text}", requests(failed, total))[1] is holds


@pytest.mark.parametrize("percent", range(1, 100))
def test_exactly_at_the_limit_is_not_below_it(percent: int) -> None:
    assert judge("http_req_failed", f"rate < {percent}%", requests(percent, 100)) == (percent / 100, False)
    assert judge("http_req_failed", f"rate >= {percent}%", requests(percent, 100)) == (percent / 100, True)


@pytest.mark.parametrize(
    ("metric", "expression", "message"),
    [
        ("http_reqs", "p(95) < 3", r"http_reqs has no 'p\(95\)', only count, rate"),
        ("http_req_duration", "rate < 1", r"http_req_duration has no 'rate', only avg, min, med, max, p\(N\)"),
        ("http_req_duration{step:home}", "p < 1", "http_req_duration has no 'p'"),
        ("http_req_duration", "p(101) < 1", r"from p\(0\) to p\(100\)"),
        ("http_req_duration", "p(95) < 300kg", "no unit 'kg'; its units are"),
        ("http_reqs", "rate < 1%", "no unit '%'; it takes a plain number"),
        ("http_req_failed", "rate 1", "such as 'rate < 1%'"),
        ("http_req_failed", "", "such as 'rate < 1%'"),
        ("http_req_failed", "rate < -1", "such as"),
        ("http_req_duration", "p(95) < nan", "such as"),
        ("http_req_duration", "p(95) < " + "9" * 1000, "such as"),
    ],
)
def test_a_bad_expression_says_what_would_be_valid(metric: str, expression: str, message: str) -> None:
    with pytest.raises(ThresholdSyntaxError, match=message):
        parse_threshold(metric, expression)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("http reqs", "must be a metric"),
        ("1st", "must be a metric"),
        ("a" * 65, "must be a metric"),
        ("", "must be a metric"),
        ("http_reqs{", "must be a metric"),
        ("http_reqs{step:a}{step:b}", "must be a metric"),
        ("http_reqs{}", "tags are name:value pairs"),
        ("http_reqs{step}", "tags are name:value pairs"),
        ("http_reqs{step:a,}", "tags are name:value pairs"),
        ("http_reqs{stepp:a}", "no tag 'stepp'; did you mean 'step'?"),
        ("http_reqs{step:a,step:b}", "the tag step is given twice"),
        ("vus{step:a}", "vus is measured of workflows, not of steps"),
        ("http_reqs{step:" + "a" * 1000 + "}", "must be a metric"),
    ],
)
def test_a_bad_metric_says_what_would_be_valid(metric: str, message: str) -> None:
    with pytest.raises(MetricSelectorError) as refusal:
        parse_threshold(metric, "count < 1")
    assert str(refusal.value).startswith(message)


def test_tags_are_read_in_any_order() -> None:
    expected = MetricSelector("http_reqs", datacenter="us-east", workflow="browse", step="log.in")
    assert parse_selector("http_reqs{step:log.in,datacenter:us-east,workflow:browse}") == expected


def job(*metrics: str, required: tuple[str, ...] = ()) -> job_pb2.JobSubmission:
    """Workflow browse with the steps login and home, workflow admin with the step home."""
    workflows = [
        workflow_pb2.Workflow(
            name=name,
            steps=[workflow_pb2.Step(name=step, http=workflow_pb2.HttpRequest(url="/")) for step in steps],
            shared_iterations=workflow_pb2.SharedIterations(vus=1, iterations=1),
        )
        for name, steps in (("browse", ("login", "home")), ("admin", ("home",)))
    ]
    thresholds = [job_pb2.Threshold(metric=metric, expression="count >= 0") for metric in metrics]
    submission = job_pb2.JobSubmission(target="http://127.0.0.1:1", workflows=workflows, thresholds=thresholds)
    submission.datacenters.required.extend(required)
    return submission


def test_tags_must_name_what_the_job_has() -> None:
    unknown = ["http_reqs{step:lgoin}", "http_reqs{workflow:shop}", "http_reqs{workflow:admin,step:login}"]
    fine = ["http_reqs{step:login}", "http_reqs{workflow:admin,step:home}", "http_reqs{datacenter:anywhere}"]
    faults = validate_submission(job(*fine, *unknown))
    assert [(fault.path, fault.message) for fault in faults] == [
        ("thresholds[3].metric", "the job has no step 'lgoin'; did you mean 'login'?"),
        ("thresholds[4].metric", "the job has no workflow 'shop'; there are browse, admin"),
        ("thresholds[5].metric", "the job has no step 'login'; there are home"),
    ]


def test_only_so_much_is_compared_to_say_what_was_meant() -> None:
    """Judging must not keep a gate from its other work, however many names a job has."""
    submission = job(*[f"http_reqs{{step:logins-{number}}}" for number in range(100)])
    for workflow in submission.workflows:
        workflow.steps.extend(
            workflow_pb2.Step(name=f"login-{number}", http=workflow_pb2.HttpRequest(url="/")) for number in range(98)
        )
    messages = [fault.message for fault in validate_submission(submission) if fault.path.startswith("thresholds")]
    assert messages[0] == "the job has no step 'logins-0'; did you mean 'login-0'?"
    assert messages[-1].startswith("the job has no step 'logins-99'; there are ")


def test_a_metric_must_be_known_unless_code_or_another_protocol_can_produce_it() -> None:
    submission = job("orders", "http_req_duraton")
    assert [(fault.path, fault.message[:70]) for fault in validate_submission(submission)] == [
        ("thresholds[0].metric", "no metric 'orders'; there are checks, http_reqs, http_req_duration, ht"),
        ("thresholds[1].metric", "no metric 'http_req_duraton'; did you mean 'http_req_duration'?"),
    ]
    submission.workflows[0].class_name = "Browse"
    assert not any(fault.path.startswith("thresholds") for fault in validate_submission(submission))


def speaking(*thresholds: tuple[str, str], **action: object) -> job_pb2.JobSubmission:
    """A job whose first workflow begins with a step of another protocol."""
    submission = job()
    submission.workflows[0].steps[0].CopyFrom(workflow_pb2.Step(name="login", **action))  # type: ignore[arg-type]
    for metric, expression in thresholds:
        submission.thresholds.add(metric=metric, expression=expression)
    return submission


TCP = workflow_pb2.TcpSession(address="127.0.0.1:9", actions=[workflow_pb2.TcpAction(send_text="hello")])
WEBSOCKET = workflow_pb2.WebSocketSession(url="/chat", actions=[workflow_pb2.WebSocketAction(send_text="hello")])
COUNTED = "count >= 0"


def threshold_faults(submission: job_pb2.JobSubmission) -> list[tuple[str, str]]:
    faults = [(fault.path, fault.message) for fault in validate_submission(submission)]
    assert all(path.startswith("thresholds") for path, _ in faults), faults
    return faults


def test_metrics_of_a_protocol_are_known_exactly() -> None:
    misspelt = [("tcp_req_duratoin", "p(95) < 1s"), ("tcp_reads{step:login}", COUNTED), ("tcp_red", COUNTED)]
    assert threshold_faults(speaking(*misspelt, tcp=TCP)) == [
        ("thresholds[0].metric", "no metric 'tcp_req_duratoin'; did you mean 'tcp_req_duration'?"),
        ("thresholds[2].metric", "no metric 'tcp_red'; did you mean 'tcp_reads'?"),
    ]
    assert threshold_faults(speaking(("ws_sesions", COUNTED), ("ws_sessions", COUNTED), websocket=WEBSOCKET)) == [
        ("thresholds[0].metric", "no metric 'ws_sesions'; did you mean 'ws_sessions'?"),
    ]


def test_metrics_of_a_protocol_are_held_to_what_their_kind_has() -> None:
    assert threshold_faults(speaking(("tcp_sockets", "p(95) < 1"), ("tcp_req_failed", "rate < 5"), tcp=TCP)) == [
        ("thresholds[0].expression", "tcp_sockets has no 'p(95)', only count, rate"),
        (
            "thresholds[1].expression",
            "rates of tcp_req_failed are between 0 and 1 (0% and 100%), not 5; did you mean 5%?",
        ),
    ]


def test_a_protocol_that_no_step_speaks_has_no_metrics() -> None:
    ((path, message),) = threshold_faults(speaking(("ws_sessions", COUNTED), tcp=TCP))
    assert (path, message.partition(";")[0]) == ("thresholds[0].metric", "no metric 'ws_sessions'")


def test_code_that_declares_its_metrics_has_these_and_those_of_every_protocol() -> None:
    submission = job("orders", "ordres", "grpc_streams", "ws_sesions")
    coded = submission.workflows[0]
    coded.class_name = "Browse"
    coded.metrics.declared.add(name="orders", kind=workflow_pb2.CUSTOM_METRIC_KIND_COUNTER)
    faults = {fault.path: fault.message for fault in validate_submission(submission)}
    assert {path: message for path, message in faults.items() if path.startswith("thresholds")} == {
        "thresholds[1].metric": "no metric 'ordres'; did you mean 'orders'?",
        "thresholds[3].metric": "no metric 'ws_sesions'; did you mean 'ws_sessions'?",
    }


def test_metrics_that_only_the_job_knows() -> None:
    shop = WorkflowStatistics("shop")
    shop.custom_metrics.metrics["orders"] = CounterTotals(7)
    shop.custom_metrics.metrics["found"] = RateTotals(93, 100)
    basket = TrendTotals()
    basket.values.record(250.0)
    shop.custom_metrics.metrics["basket"] = basket
    shop.custom_metrics.metrics["level"] = GaugeTotals(2.5, at_seconds=1.0, min=2.5, max=2.5)
    grpc = shop.step("ask").protocol("grpc")
    grpc.total_count, grpc.failures[statistics_pb2.ERROR_CLASS_TIMEOUT] = 50, 5
    grpc.duration_ms.record(20.0)
    grpc.metrics.metrics["grpc_messages"] = CounterTotals(500)
    shop.step("ask").protocol("code").total_count = 3
    holds = [
        ("orders", "count == 14"),
        ("orders{workflow:shop}", "rate == 1.4"),
        ("found", "rate >= 93%"),
        ("basket", "max <= 0.25s"),
        ("basket", "p(99.9) > 249"),
        ("level", "value == 2.5"),
        ("grpc_reqs{step:ask}", "count == 100"),
        ("grpc_req_failed", "rate <= 10%"),
        ("grpc_req_duration{step:ask}", "p(95) < 21ms"),
        ("grpc_messages", "count == 1000"),
        ("http_reqs", "count == 0"),
        ("never_counted", "count == 0"),
    ]
    assert [rule for rule in holds if not judge(*rule, shop, shop)[1]] == []
    without_sample = [
        ("never_seen", "rate < 1"),
        ("orders", "max < 100"),
        ("level", "count < 9"),
        ("code_reqs", "rate > 0"),
    ]
    assert [judge(*rule, shop) for rule in without_sample] == [(None, False)] * len(without_sample)
    shown = MetricSource([shop], 10.0).values()
    protocol = ["grpc_messages", "grpc_req_duration", "grpc_req_failed", "grpc_reqs"]
    assert [name for name in shown if name not in METRICS] == ["basket", "found", *protocol, "level", "orders"]
    assert "http_reqs" not in shown


def test_a_datacenter_is_known_when_the_job_requires_some() -> None:
    metrics = ("http_reqs{datacenter:east}", "http_reqs{datacenter:north}")
    (fault,) = validate_submission(job(*metrics, required=("east", "west")))
    assert (fault.path, fault.message) == (
        "thresholds[1].metric",
        "the job has no datacenter 'north'; there are east, west",
    )


def test_a_delay_belongs_to_abort_on_fail() -> None:
    submission = job("http_reqs", "http_reqs", "http_reqs")
    for threshold, seconds in zip(submission.thresholds, (0, 10, 25 * 3600), strict=True):
        threshold.abort_delay.FromSeconds(seconds)
        threshold.abort_on_fail = seconds != 10
    assert [(fault.path, fault.message) for fault in validate_submission(submission)] == [
        ("thresholds[1].abort_delay", "needs abort_on_fail: true"),
        ("thresholds[2].abort_delay", "must be above 0s and at most 24h, not 90000s"),
    ]


@given(st.sampled_from([*METRICS, "nope", "http_reqs{step:home}"]), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_refused(metric: str, tags: str, expression: str) -> None:
    for name in (metric, f"{metric}{{{tags}}}", tags):
        with suppress(MetricSelectorError, ThresholdSyntaxError):
            observed, _ = judge(name, expression, measured())
            assert observed is None or observed >= 0.0
