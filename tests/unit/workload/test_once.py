"""Setup and teardown: what they may say, and which workflows they become."""

import json
import types
from typing import Any

import pytest

from hyperscale.v1 import statistics_pb2, workflow_pb2
from hyperscale.workload import OnceScope, Workflow, WorkflowDefinitionError, step
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from hyperscale.workload.language.describing import describe_job
from hyperscale.workload.metrics import MetricSource, errors_of, metrics_of, steps_of
from hyperscale.workload.once import setups_of, teardown_of
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import seconds_of
from hyperscale.workload.validation import validate_share
from hyperscale.workload.workflow_names import is_load
from tests.support.jobs import workflow

CREATE = {"name": "create", "http": {"url": "/"}, "extract": [{"variable": "id", "json_path": "$.id"}]}
USE = {"name": "use", "http": {"url": "/{{id}}"}}


def job_of(*workflows: dict[str, Any], **fields: Any) -> Any:
    job = {"target": "http://target.test", "workflows": list(workflows), **fields}
    return parse_job(json.dumps(job), DocumentFormat.JSON)


def faults_of(*workflows: dict[str, Any], **fields: Any) -> dict[str, str]:
    with pytest.raises(JobFileError) as caught:
        job_of(*workflows, **fields)
    return {fault.path.removeprefix("workflows[0]."): fault.message for fault in caught.value.faults}


def test_load_and_teardown_can_name_what_setup_extracts() -> None:
    (shop,) = job_of(workflow("shop", [USE], setup=[CREATE], teardown=[USE], once_per="datacenter")).workflows
    assert shop.once_per == workflow_pb2.ONCE_SCOPE_DATACENTER


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"setup": [USE]}, "setup[0].http.url", "no earlier step extracts 'id'"),
        ({"teardown": [USE]}, "teardown[0].http.url", "no earlier step extracts 'id'"),
        ({"setup": [{"name": "a", "http": {"url": "nowhere"}}]}, "setup[0].http.url", ""),
        ({"setup": [CREATE, CREATE]}, "setup[1].name", "already used"),
        ({"teardown": [{"name": "a"}]}, "teardown[0]", "needs an action"),
        ({"setup": [CREATE], "setup_timeout": "2h"}, "setup_timeout", "at most 1h"),
        ({"teardown_timeout": "2s"}, "teardown_timeout", "needs a teardown"),
        ({"once_per": "job"}, "once_per", "needs a setup or teardown"),
        ({"setup": [CREATE], "name": "x" * 56}, "name", "at most 55 characters"),
        ({"name": "shop.setup"}, "name", "must not end in"),
        ({"name": "shop.teardown"}, "name", "must not end in"),
        ({"role": "setup"}, "role", "is set by the suite"),
        ({"setup": [{"name": "a", "http": {"url": "/{{rows.x}}"}}], "feeds": [{"name": "rows", "csv": "x\n1\n"}]},
         "setup[0].http.url", "no feed 'rows'"),
    ],
)  # fmt: skip
def test_faults_have_their_place(fields: dict[str, Any], path: str, reason: str) -> None:
    assert reason in faults_of(workflow(**fields))[path]


def test_setup_and_teardown_of_a_class_are_its_coroutines() -> None:
    fields = {"class_name": "Shop", "setup": [{"name": "begin"}], "teardown": [CREATE]}
    faults = faults_of(workflow("Shop", [{"name": "a"}], **fields))
    assert faults["setup"] == "of a class is the one step 'setup'"
    assert "has an action" in faults["teardown[0]"]


def test_thresholds_can_name_setup_and_teardown() -> None:
    load = workflow("shop", [USE], setup=[CREATE], teardown=[USE])
    named = ["http_reqs{workflow:shop.setup,step:create}", "http_reqs{workflow:shop.teardown}", "setup_requests"]
    assert job_of(load, thresholds=[{"metric": metric, "expression": "count > 0"} for metric in named])
    wrong = [{"metric": "http_reqs{step:create}", "expression": "count > 0"}]
    assert "no step 'create'" in faults_of(load, thresholds=wrong)["thresholds[0].metric"]


def test_setups_are_workflows_of_one_iteration_in_the_order_of_dependencies() -> None:
    job = job_of(
        workflow("late", setup=[CREATE], depends_on=["between"], setup_timeout="7s"),
        workflow("between", depends_on=["early"]),
        workflow("early", setup=[CREATE], once_per="datacenter"),
    )
    first = setups_of(job.workflows, is_first_datacenter=True)
    assert [(setup.name, list(setup.depends_on)) for setup in first] == [
        ("late.setup", ["early.setup"]),
        ("early.setup", []),
    ]
    load = first[0].shared_iterations
    assert (load.vus, load.iterations, seconds_of(load.max_duration)) == (1, 1, 7)
    assert seconds_of(first[0].graceful_stop) == 0
    assert [setup.name for setup in setups_of(job.workflows, is_first_datacenter=False)] == ["early.setup"]
    del job.workflows[:]
    job.workflows.extend(first)
    assert validate_share(job) == []


def test_a_teardown_leaves_out_what_was_never_made() -> None:
    again = {**USE, "name": "again", "extract": [{"variable": "more", "json_path": "$.x"}]}
    follow = {"name": "follow", "http": {"url": "/{{more}}"}}
    leave = {"name": "leave", "http": {"url": "/"}}
    (shop,) = job_of(workflow("shop", setup=[CREATE], teardown=[again, follow, leave])).workflows
    whole, rest = teardown_of(shop, {"id"}), teardown_of(shop, ())
    assert whole is not None
    assert rest is not None
    assert [each.name for each in whole.steps] == ["again", "follow", "leave"]
    assert [each.name for each in rest.steps] == ["leave"]
    del shop.teardown[2:]
    assert teardown_of(shop, ()) is None
    job = job_of(workflow())
    del job.workflows[:]
    job.workflows.append(whole)
    assert validate_share(job) == [], "its templates may name what setup extracts"


def statistics(name: str, requests: int) -> WorkflowStatistics:
    made = WorkflowStatistics(name)
    made.step("s").total_count = requests
    made.step("s").failures[statistics_pb2.ERROR_CLASS_TLS] = 1
    made.iterations = made.vus_max = 1
    return made


def test_only_load_counts_as_load() -> None:
    measured = [statistics("shop", 10), statistics("shop.setup", 2), statistics("shop.teardown", 3)]
    metrics = metrics_of(measured, 1.0)
    assert (metrics["http_reqs"]["count"], metrics["iterations"]["count"], metrics["vus_max"]["value"]) == (10, 1, 1)
    assert (metrics["setup_requests"], metrics["teardown_requests"]) == ({"count": 2}, {"count": 3})
    assert [error.count for error in errors_of(measured)] == [1]
    source = MetricSource(measured, 1.0)
    assert source.narrowed("shop.setup", "").values()["http_reqs"]["count"] == 2
    assert "setup_requests" not in source.narrowed("shop", "").values()
    assert [(entry.workflow_name, entry.metrics["http_reqs"].values["count"]) for entry in steps_of(measured, 1.0)] == [
        ("shop", 10),
        ("shop.setup", 2),
        ("shop.teardown", 3),
    ]
    assert [is_load(name) for name in ("setup", "shop.setup", "a.teardown")] == [True, False, False]


def described(*classes: type[Workflow]) -> list[dict[str, Any]]:
    module = types.ModuleType(__name__)
    for entry in classes:
        setattr(module, entry.__name__, entry)
    workflows: list[dict[str, Any]] = describe_job(module)["workflows"]
    return workflows


class Base(Workflow):
    setup_timeout = "5s"

    async def setup(self) -> None: ...

    @step()
    async def only(self) -> None: ...


class Derived(Base):
    once_per = OnceScope.DATACENTER

    async def teardown(self) -> None: ...


def test_a_class_says_what_it_does_once() -> None:
    base, derived = described(Base, Derived)
    assert {name: base[name] for name in base.keys() & {"setup", "setup_timeout", "teardown", "once_per"}} == {
        "setup": [{"name": "setup"}],
        "setup_timeout": "5s",
    }
    assert (derived["teardown"], derived["once_per"]) == ([{"name": "teardown"}], "datacenter")


def test_what_is_done_once_is_a_coroutine_and_no_step() -> None:
    class Plain(Base):
        def setup(self) -> None:  # type: ignore[override]
            """Nothing."""

    class Step(Base):
        @step()
        async def setup(self) -> None: ...

    with pytest.raises(WorkflowDefinitionError, match="setup of Plain must be written as `async def`"):
        described(Plain)
    with pytest.raises(WorkflowDefinitionError, match="cannot be a step too"):
        described(Step)
