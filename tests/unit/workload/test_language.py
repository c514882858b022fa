"""The language of coded workflows, as its users see it."""

import subprocess
import sys
import types
from typing import Any

import pytest

import hyperscale.workload as public
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.workload import (
    ConstantArrivalRate,
    Feed,
    FeedMode,
    FeedPace,
    HttpResponse,
    Job,
    Metric,
    MetricError,
    PerVuIterations,
    RampingArrivalRate,
    RampingVus,
    RampStage,
    SharedIterations,
    Workflow,
    WorkflowDefinitionError,
    depends,
    step,
)
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.jobfile import job_of_document
from hyperscale.workload.language.describing import describe_job, metrics_of_class
from hyperscale.workload.language.profiles import Profile
from hyperscale.workload.language.steps import ordered_steps
from hyperscale.workload.mapping import merge_into_message
from hyperscale.workload.validation import validate_submission


def module_of(*entries: object) -> types.ModuleType:
    """A module with classes and jobs, as if it had been written with them."""
    module = types.ModuleType(__name__)
    for number, entry in enumerate(entries):
        setattr(module, f"entry_{number}", entry)
    return module


def step_names(workflow_class: type[Workflow]) -> list[str]:
    return [bound.definition.name for bound in ordered_steps(workflow_class)]


class OneStep(Workflow):
    @step()
    async def only(self) -> None: ...


def test_what_the_package_offers_is_what_it_says_and_no_more() -> None:
    assert public.__all__ == sorted(public.__all__)
    assert {name for name in vars(public) if not name.startswith("_") and name[0].isupper()} <= set(public.__all__)
    assert all(hasattr(public, name) for name in public.__all__)


def test_importing_the_language_loads_neither_grpc_nor_numpy_nor_protobuf() -> None:
    code = "import sys, hyperscale.workload; print(sorted({'grpc', 'numpy', 'google.protobuf'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_steps_run_after_what_they_name_and_else_as_they_are_written() -> None:
    class Several(Workflow):
        @step("login")
        async def browse(self) -> None: ...
        @step()
        async def warm(self) -> None: ...
        @step(name="login")
        async def sign_in(self) -> None: ...
        @step("browse", "warm")
        async def leave(self) -> None: ...

    assert step_names(Several) == ["warm", "login", "browse", "leave"]


def test_a_class_inherits_and_replaces_steps() -> None:
    class Base(Workflow):
        @step()
        async def first(self) -> None: ...
        @step()
        async def second(self) -> None: ...

    class Derived(Base):
        @step("second")
        async def first(self) -> None: ...

    assert step_names(Derived) == ["second", "first"]


def test_steps_that_wait_for_each_other_or_for_nobody_are_refused() -> None:
    class Circle(Workflow):
        @step("b")
        async def a(self) -> None: ...
        @step("a")
        async def b(self) -> None: ...

    class Dangling(Workflow):
        @step("nobody")
        async def a(self) -> None: ...

    with pytest.raises(WorkflowDefinitionError, match="wait for each other"):
        ordered_steps(Circle)
    with pytest.raises(WorkflowDefinitionError, match="'nobody', which is no step of it"):
        ordered_steps(Dangling)


def test_a_step_is_a_coroutine() -> None:
    with pytest.raises(WorkflowDefinitionError, match="async def"):
        step()(lambda self: None)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "profile",
    [
        SharedIterations(2, 10),
        PerVuIterations(2, 5, "30s"),
        RampingVus([RampStage("5s", 10), RampStage("5s", 0)], start_vus=2),
        ConstantArrivalRate(100, "10s", 20, max_vus=40),
        RampingArrivalRate([RampStage("5s", 100)], 10, time_unit="1m"),
        None,
    ],
)
def test_every_profile_makes_a_valid_job(profile: Profile | None) -> None:
    workflow_class = type("Load", (OneStep,), {"profile": profile, "__module__": __name__})
    document = describe_job(module_of(workflow_class, Job(target="http://localhost")))
    document["workflows"][0].pop("class_name")
    document["workflows"][0]["steps"] = [{"name": "only", "http": {"url": "/"}}]
    workflow = job_of_document(document).workflows[0]
    assert workflow.WhichOneof("load") is not None


def test_a_job_says_what_a_job_file_says() -> None:
    @depends(OneStep)
    class After(OneStep):
        vus = 3
        duration = "7s"
        think_time = "1s"

    stopping = {"expression": "max < 2", "abort_on_fail": True, "abort_delay": "10s"}
    rules: dict[str, Any] = {"checks": "rate > 1%", "x": ["avg < 1", stopping], "y": stopping}
    job = Job(name="n", target="http://t", datacenters=["a"], thresholds=rules)
    document = describe_job(module_of(OneStep, After, job))
    assert document["workflows"][1] == {
        "name": "After",
        "class_name": "After",
        "depends_on": ["OneStep"],
        "steps": [{"name": "only"}],
        "metrics": {"declared": []},
        "constant_vus": {"vus": 3, "duration": "7s"},
        "think_time": {"constant": "1s"},
    }
    assert document["datacenters"] == {"required": ["a"]}
    choice = {"count": 2, "preferred": ["near"]}
    assert describe_job(module_of(OneStep, Job(target="http://t", datacenters=choice)))["datacenters"] == choice
    with pytest.raises(WorkflowDefinitionError, match=r"a list of names: \['dc-3'\]"):
        Job(target="http://t", datacenters="dc-3")
    assert document["thresholds"] == [
        {"metric": "checks", "expression": "rate > 1%"},
        {"metric": "x", "expression": "avg < 1"},
        {"metric": "x"} | stopping,
        {"metric": "y"} | stopping,
    ]


def test_a_module_without_workflows_or_with_two_jobs_is_refused() -> None:
    with pytest.raises(WorkflowDefinitionError, match="no class"):
        describe_job(module_of(Job()))
    with pytest.raises(WorkflowDefinitionError, match="more than one Job"):
        describe_job(module_of(OneStep, Job(), Job(name="other")))


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (Metric.counter("m"), -1),
        (Metric.counter("m"), 0.5),
        (Metric.rate("m"), 2),
        (Metric.trend("m"), -0.1),
        (Metric.trend("m"), float("nan")),
        (Metric.gauge("m"), float("inf")),
        (Metric.gauge("m"), "7"),
    ],
)
def test_a_metric_refuses_what_it_cannot_take(metric: Metric, value: float) -> None:
    with pytest.raises(MetricError, match="metric m"):
        metric.add(value)
    assert metric.take() == []


def test_names_of_metrics_are_checked_and_used_once() -> None:
    with pytest.raises(WorkflowDefinitionError):
        Metric.counter("no spaces")

    class Twice(OneStep):
        first = Metric.counter("same")
        second = Metric.rate("same")

    with pytest.raises(WorkflowDefinitionError, match="two metrics named 'same'"):
        metrics_of_class(Twice)


class _Message:
    fields = ((b"content-type", b"text/plain; charset=latin-1"), (b"x", b"1"), (b"x", b"2"))
    content = "grün".encode("latin-1")


def test_a_response_reads_as_its_header_says() -> None:
    response = HttpResponse(200, _Message(), 0.1, expected=True)
    assert response.text() == "grün"
    assert response.headers["x"] == "1, 2"
    with pytest.raises(ValueError, match=r"utf-8|Expecting"):
        response.json()


def test_feeds_are_described_by_the_names_of_their_attributes() -> None:
    class Base(OneStep):
        accounts = Feed("accounts.csv", mode=FeedMode.UNIQUE, pace=FeedPace.USER, recycle=True)
        city = Feed("old.json")

    class Fed(Base):
        city = Feed([{"name": "Oslo", "code": 47}])

    assert isinstance(Fed.accounts, Feed)
    assert Fed.city is not Base.city
    plain = {"mode": "sequential", "pace": "iteration"}
    assert describe_job(module_of(Fed))["workflows"][0]["feeds"] == [
        {"name": "accounts", "file": "accounts.csv", "mode": "unique", "pace": "user", "recycle": True},
        {"name": "city", "json": [{"name": "Oslo", "code": 47}], **plain},
    ]


def test_a_feed_that_cannot_be_one_is_refused_where_it_is_written() -> None:
    with pytest.raises(WorkflowDefinitionError, match=r"ends in \.csv or \.json, unlike 'a\.txt'"):
        Feed("a.txt")
    with pytest.raises(WorkflowDefinitionError, match="JSON values"):
        Feed([{"a": object()}])

    class Twice(OneStep):
        first = second = Feed("a.csv")

    with pytest.raises(WorkflowDefinitionError, match="both 'first' and 'second'"):
        describe_job(module_of(Twice))


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("duraton", "5s", "duration"),
        ("vu", 5, "vus"),
        ("profle", public.ConstantVus(1, "1s"), "profile"),
        ("thinktime", "1s", "think_time"),
        ("gracefull_stop", "1s", "graceful_stop"),
        ("timeout_second", 5, "timeout_seconds"),
    ],
)
def test_a_misspelt_attribute_is_noticed_where_the_class_is_defined(name: str, value: object, meant: str) -> None:
    with pytest.raises(WorkflowDefinitionError, match=f"Shop.{name} means nothing; did you mean '{meant}'"):
        type("Shop", (Workflow,), {name: value})


@pytest.mark.parametrize(("name", "meant"), [("set_up", "setup"), ("setpu", "setup"), ("tear_down", "teardown")])
def test_a_misspelt_setup_or_teardown_is_noticed_too(name: str, meant: str) -> None:
    async def anything(self: Workflow) -> None: ...

    with pytest.raises(WorkflowDefinitionError, match=f"Shop.{name} means nothing; did you mean '{meant}'"):
        type("Shop", (Workflow,), {name: anything})
    own = {"startup": anything, "teardown_cart": anything, "_setup": anything, "setup": anything, "setups": anything}
    type("Shop", (Workflow,), own)
    type("Shop", (Workflow,), {name: step()(anything)})


def test_attributes_of_ones_own_are_no_misspelt_ones() -> None:
    class Shop(Workflow):
        durations = ("1s", "2s")
        location = "here"
        count = 0
        user = "alice"
        items = Metric.counter("items")

        def profiles(self) -> None:
            """No setting."""

    assert Shop.count == 0


def test_a_job_brings_its_variables() -> None:
    assert describe_job(module_of(OneStep, Job(variables={"host": "a"})))["variables"] == {"host": "a"}


class Measuring(OneStep):
    orders = Metric.counter("orders")
    stock = Metric.gauge("stock")
    basket = Metric.trend("basket")
    returned = Metric.rate("returned")


def threshold_faults(metric: str, expression: str) -> list[str]:
    job = Job(target="http://127.0.0.1", thresholds={metric: expression})
    submission = JobSubmission()
    merge_into_message(describe_job(module_of(Measuring, job)), submission, faults := FaultCollector())
    assert not faults.faults()
    return [fault.message for fault in validate_submission(submission) if fault.path.startswith("thresholds[0]")]


@pytest.mark.parametrize(
    ("metric", "expression", "told"),
    [
        ("order", "count > 1", "no metric 'order'; did you mean 'orders'?"),
        ("http_req_durations", "p(95) < 1s", "no metric 'http_req_durations'; did you mean 'http_req_duration'?"),
        ("orders", "p(95) < 3", "orders has no 'p(95)', only count, rate"),
        ("stock", "count > 3", "stock has no 'count', only value"),
        ("returned", "rate < 2", "rates of returned are between 0 and 1 (0% and 100%), not 2; did you mean 2%?"),
        ("orders{step:only}", "count > 1", "orders is measured of workflows, not of steps"),
        ("orders{workflow:Measurin}", "count > 1", "the job has no workflow 'Measurin'; did you mean 'Measuring'?"),
    ],
)
def test_a_threshold_of_code_names_what_there_is(metric: str, expression: str, told: str) -> None:
    assert threshold_faults(metric, expression) == [told]


@pytest.mark.parametrize(
    ("metric", "expression"),
    [
        ("orders", "rate > 5"),
        ("orders{workflow:Measuring}", "count > 5"),
        ("stock", "value > 1000"),
        ("basket", "p(95) < 40"),
        ("returned", "rate < 2%"),
        ("ws_req_duration", "p(95) < 1s"),
        ("exceptions", "count == 0"),
    ],
)
def test_a_threshold_of_code_may_name_what_code_declares_or_can_speak(metric: str, expression: str) -> None:
    assert not threshold_faults(metric, expression)
