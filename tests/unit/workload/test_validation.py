"""Validation: every rule of the contract, all faults at once, and never an exception."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.workload.faults import MAX_FAULTS, Fault
from hyperscale.workload.urls import BUNDLED_TARGET
from hyperscale.workload.validation import validate_job_file, validate_share, validate_submission

Change = Callable[[JobSubmission], object]
COUNTER = workflow_pb2.CUSTOM_METRIC_KIND_COUNTER


def choose(job: job_pb2.JobSubmission, **selection: Any) -> None:
    job.datacenters.CopyFrom(job_pb2.DatacenterSelection(**selection))


def valid_job() -> JobSubmission:
    submission = JobSubmission(name="shop", target="https://shop.example.com/base", idempotency_key="k-1")
    submission.datacenters.required.extend(["eu", "us"])
    for name in ("seed", "browse"):
        workflow = submission.workflows.add(name=name)
        workflow.constant_vus.vus = 10
        workflow.constant_vus.duration.seconds = 30
        http = workflow.steps.add(name="home").http
        http.url = "/"
        http.headers["Accept"] = "text/html"
        http.expected_statuses.append(200)
    submission.workflows[1].depends_on.append("seed")
    submission.thresholds.add(metric="http_req_duration", expression="p(95) < 300ms")
    submission.timeout.seconds = 3600
    return submission


def workflow_of(submission: JobSubmission) -> workflow_pb2.Workflow:
    return submission.workflows[0]


def http_of(submission: JobSubmission) -> workflow_pb2.HttpRequest:
    return submission.workflows[0].steps[0].http


def declare(submission: JobSubmission, *names: str, kind: Any = COUNTER) -> None:
    for name in names:
        workflow_of(submission).metrics.declared.add(name=name, kind=kind)


def shared(submission: JobSubmission, **fields: Any) -> None:
    workflow_of(submission).shared_iterations.CopyFrom(workflow_pb2.SharedIterations(**fields))


def test_a_valid_job_has_no_fault() -> None:
    assert validate_submission(valid_job()) == []


FAULTS: list[tuple[str, Change]] = [
    ("name", lambda job: setattr(job, "name", "x" * 129)),
    ("idempotency_key", lambda job: setattr(job, "idempotency_key", "x" * 129)),
    ("idempotency_key", lambda job: setattr(job, "idempotency_key", "ключ")),
    ("idempotency_key", lambda job: setattr(job, "idempotency_key", "a\nb")),
    ("target", lambda job: setattr(job, "target", "shop.example.com")),
    ("target", lambda job: setattr(job, "target", "ftp://shop")),
    ("target", lambda job: setattr(job, "target", "http://")),
    ("target", lambda job: setattr(job, "target", "http://h:99999")),
    ("target", lambda job: setattr(job, "target", "http://h:0")),
    ("target", lambda job: setattr(job, "target", "http://[::1")),
    ("target", lambda job: setattr(job, "target", "http://u:p@h")),
    ("target", lambda job: setattr(job, "target", "http://h/?q=1")),
    ("target", lambda job: setattr(job, "target", "http://h/#top")),
    ("target", lambda job: setattr(job, "target", "http://h/\r\nX: y")),
    ("target", lambda job: setattr(job, "target", BUNDLED_TARGET)),
    ("datacenters.required[2]", lambda job: job.datacenters.required.append("eu")),
    ("datacenters.required[2]", lambda job: job.datacenters.required.append("")),
    ("datacenters.weights", lambda job: job.datacenters.weights.update({"eu": 2})),
    ("datacenters.count", lambda job: setattr(job.datacenters, "count", 1)),
    ("datacenters.count", lambda job: choose(job, count=101)),
    ("datacenters.preferred", lambda job: choose(job, preferred=["eu"])),
    ("datacenters.exclude", lambda job: choose(job, exclude=["eu"])),
    ("datacenters.preferred[1]", lambda job: choose(job, count=1, preferred=["eu", "eu"])),
    ("datacenters.exclude[0]", lambda job: choose(job, count=1, exclude=["a b"])),
    ("datacenters.exclude[1]", lambda job: choose(job, count=1, preferred=["eu"], exclude=["us", "eu"])),
    ("datacenters.exclude", lambda job: choose(job, count=1, exclude=[f"dc-{number}" for number in range(101)])),
    ("distribution", lambda job: setattr(job, "distribution", 99)),
    ("workflows", lambda job: job.ClearField("workflows")),
    ("workflows", lambda job: job.workflows.extend([job.workflows[0]] * 99)),
    ("workflows[0].name", lambda job: setattr(workflow_of(job), "name", "a b")),
    ("workflows[0].name", lambda job: setattr(workflow_of(job), "name", "x" * 65)),
    ("workflows[0].name", lambda job: setattr(workflow_of(job), "name", "x\n")),
    ("workflows[1].name", lambda job: setattr(job.workflows[1], "name", "seed")),
    ("workflows[0].depends_on[0]", lambda job: workflow_of(job).depends_on.append("nobody")),
    ("workflows[0].depends_on[0]", lambda job: workflow_of(job).depends_on.append("seed")),
    ("workflows[1].depends_on[1]", lambda job: job.workflows[1].depends_on.append("seed")),
    ("workflows[0].depends_on", lambda job: workflow_of(job).depends_on.append("browse")),
    ("workflows[0].depends_on", lambda job: workflow_of(job).depends_on.extend(["browse"] * 100)),
    ("workflows[0].priority", lambda job: setattr(workflow_of(job), "priority", 99)),
    ("workflows[0]", lambda job: workflow_of(job).ClearField("constant_vus")),
    ("workflows[0].constant_vus.vus", lambda job: setattr(workflow_of(job).constant_vus, "vus", 0)),
    ("workflows[0].constant_vus.vus", lambda job: setattr(workflow_of(job).constant_vus, "vus", 1_000_001)),
    ("workflows[0].constant_vus.duration", lambda job: workflow_of(job).constant_vus.ClearField("duration")),
    ("workflows[0].constant_vus.duration", lambda job: setattr(workflow_of(job).constant_vus.duration, "seconds", 0)),
    ("workflows[0].constant_vus.duration", lambda job: setattr(workflow_of(job).constant_vus.duration, "seconds", -1)),
    (
        "workflows[0].constant_vus.duration",
        lambda job: setattr(workflow_of(job).constant_vus.duration, "seconds", 86401),
    ),
    ("workflows[0].constant_vus.duration", lambda job: setattr(workflow_of(job).constant_vus.duration, "nanos", 10**9)),
    ("workflows[0].constant_vus.duration", lambda job: setattr(workflow_of(job).constant_vus.duration, "nanos", -1)),
    ("workflows[0].shared_iterations.iterations", lambda job: shared(job, vus=1)),
    ("workflows[0].shared_iterations.vus", lambda job: shared(job, iterations=1)),
    (
        "workflows[0].shared_iterations.max_duration",
        lambda job: shared(job, vus=1, iterations=1, max_duration={"seconds": 86401}),
    ),
    ("workflows[0].graceful_stop", lambda job: setattr(workflow_of(job).graceful_stop, "seconds", 601)),
    ("workflows[0].graceful_stop", lambda job: setattr(workflow_of(job).graceful_stop, "seconds", -1)),
    ("workflows[0].steps", lambda job: workflow_of(job).ClearField("steps")),
    ("workflows[0].steps", lambda job: workflow_of(job).steps.extend([workflow_of(job).steps[0]] * 100)),
    ("workflows[0].steps[1].name", lambda job: workflow_of(job).steps.append(workflow_of(job).steps[0])),
    ("workflows[0].steps[0].name", lambda job: setattr(workflow_of(job).steps[0], "name", "")),
    ("workflows[0].steps[0]", lambda job: workflow_of(job).steps[0].ClearField("http")),
    ("workflows[0].steps[0].http.url", lambda job: job.ClearField("target")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "home")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "file:///etc/passwd")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "http:///x")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "/a b")),
    ("workflows[0].steps[0].http.url", lambda job: setattr(http_of(job), "url", "/caf\u00e9")),
    ("workflows[0].steps[0].http.method", lambda job: setattr(http_of(job), "method", 99)),
    ("workflows[0].steps[0].http.headers['Host']", lambda job: http_of(job).headers.update({"Host": "x"})),
    (
        "workflows[0].steps[0].http.headers['content-length']",
        lambda job: http_of(job).headers.update({"content-length": "1"}),
    ),
    ("workflows[0].steps[0].http.headers['accept']", lambda job: http_of(job).headers.update({"accept": "x"})),
    ("workflows[0].steps[0].http.headers['a b']", lambda job: http_of(job).headers.update({"a b": "x"})),
    ("workflows[0].steps[0].http.headers['']", lambda job: http_of(job).headers.update({"": "x"})),
    ("workflows[0].steps[0].http.headers['X']", lambda job: http_of(job).headers.update({"X": "a\r\nY: b"})),
    ("workflows[0].steps[0].http.headers", lambda job: http_of(job).headers.update({f"X{n}": "" for n in range(100)})),
    ("workflows[0].steps[0].http.json", lambda job: setattr(http_of(job).json, "number_value", math.nan)),
    ("workflows[0].steps[0].http.json", lambda job: http_of(job).json.SetInParent()),
    ("workflows[0].steps[0].http.timeout", lambda job: setattr(http_of(job).timeout, "seconds", 601)),
    ("workflows[0].steps[0].http.timeout", lambda job: http_of(job).timeout.SetInParent()),
    ("workflows[0].steps[0].http.expected_statuses[1]", lambda job: http_of(job).expected_statuses.append(99)),
    ("workflows[0].steps[0].http.expected_statuses[1]", lambda job: http_of(job).expected_statuses.append(600)),
    ("workflows[0].metrics.declared[1].name", lambda job: declare(job, "orders", "or ders")),
    ("workflows[0].metrics.declared[0].name", lambda job: declare(job, "x" * 65)),
    ("workflows[0].metrics.declared[0].name", lambda job: declare(job, "orders\n")),
    ("workflows[0].metrics.declared[2].name", lambda job: declare(job, "orders", "baskets", "orders")),
    ("workflows[0].metrics.declared[0].kind", lambda job: declare(job, "orders", kind=99)),
    ("workflows[0].metrics.declared", lambda job: declare(job, *(f"m{number}" for number in range(101)))),
    ("thresholds[0].metric", lambda job: setattr(job.thresholds[0], "metric", "http_req_durations")),
    ("thresholds[0].expression", lambda job: setattr(job.thresholds[0], "expression", "p(95)")),
    ("thresholds", lambda job: job.thresholds.extend([job.thresholds[0]] * 100)),
    ("timeout", lambda job: setattr(job.timeout, "seconds", 25 * 3600 + 1)),
    ("timeout", lambda job: setattr(job.timeout, "seconds", 0)),
]


@pytest.mark.parametrize(("path", "spoil"), FAULTS, ids=[f"{path}-{number}" for number, (path, _) in enumerate(FAULTS)])
def test_a_fault_is_told_at_its_path(path: str, spoil: Change) -> None:
    job = valid_job()
    spoil(job)
    faults = validate_submission(job)
    assert path in {fault.path for fault in faults}
    assert all(fault.message for fault in faults)


VALID: list[Change] = [
    lambda job: setattr(job, "target", "http://127.0.0.1:8080"),
    lambda job: setattr(job, "target", "http://[::1]:8080/base/"),
    lambda job: job.ClearField("datacenters"),
    lambda job: choose(job, count=100, preferred=["eu"], exclude=["us"]),
    lambda job: job.ClearField("idempotency_key"),
    lambda job: setattr(job, "name", ""),
    lambda job: workflow_of(job).graceful_stop.SetInParent(),
    lambda job: shared(job, vus=5, iterations=1),
    lambda job: setattr(http_of(job), "url", "http://other:1234/x?y=%20z"),
    lambda job: setattr(http_of(job), "text", "a body on GET is unusual, and allowed"),
    lambda job: setattr(http_of(job).json.struct_value.fields["a"], "null_value", 0),
    lambda job: setattr(job.timeout, "seconds", 25 * 3600),
    lambda job: setattr(workflow_of(job).constant_vus.duration, "seconds", 86400),
]


@pytest.mark.parametrize("change", VALID)
def test_what_the_contract_allows_is_accepted(change: Change) -> None:
    job = valid_job()
    change(job)
    assert validate_submission(job) == []


def test_weights_belong_to_required_datacenters_of_a_split_job() -> None:
    job = valid_job()
    job.distribution = job_pb2.DISTRIBUTION_SPLIT
    job.datacenters.weights.update({"eu": 1000, "us": 1001, "moon": 0})
    assert [str(fault) for fault in validate_submission(job)] == [
        "datacenters.weights['moon']: is not one of datacenters.required",
        "datacenters.weights['moon']: must be 1 to 1000, not 0",
        "datacenters.weights['us']: must be 1 to 1000, not 1001",
    ]


def test_all_faults_come_at_once() -> None:
    job = valid_job()
    for _, spoil in FAULTS[:4]:
        spoil(job)
    http_of(job).url = "home"
    job.thresholds[0].metric = "x"
    assert {"name", "idempotency_key", "workflows[0].steps[0].http.url", "thresholds[0].metric"} <= {
        fault.path for fault in validate_submission(job)
    }


def test_many_faults_are_counted() -> None:
    job = valid_job()
    for workflow in job.workflows:
        del workflow.steps[:]
        workflow.steps.extend([workflow_pb2.Step()] * 100)
    faults = validate_submission(job)
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1] == Fault("", "and 300 more")


def test_a_share_may_have_no_users_but_then_no_iterations() -> None:
    job = valid_job()
    workflow_of(job).constant_vus.vus = 0
    assert validate_share(job) == []
    assert [fault.path for fault in validate_submission(job)] == ["workflows[0].constant_vus.vus"]
    shared(job, vus=0, iterations=0)
    assert validate_share(job) == []
    shared(job, vus=3, iterations=0)
    assert validate_share(job) == []
    shared(job, vus=0, iterations=3)
    assert [fault.path for fault in validate_share(job)] == ["workflows[0].shared_iterations.iterations"]


def test_only_a_job_file_may_name_the_bundled_target() -> None:
    job = valid_job()
    job.target = BUNDLED_TARGET
    assert validate_job_file(job) == []
    [fault] = validate_submission(job)
    assert "name the URL of a server that the workers can reach" in fault.message


MESSAGES = st.builds(
    JobSubmission,
    name=st.text(max_size=200),
    target=st.text(max_size=40) | st.text("htps:/[]@#?1.", max_size=20).map("http://".__add__),
    distribution=st.integers(-(2**31), 2**31 - 1),
    datacenters=st.builds(
        job_pb2.DatacenterSelection,
        required=st.lists(st.text(max_size=3)),
        weights=st.dictionaries(st.text(max_size=3), st.integers(0, 2**32 - 1)),
    ),
    workflows=st.lists(
        st.builds(
            workflow_pb2.Workflow,
            name=st.text(max_size=3),
            depends_on=st.lists(st.text(max_size=3)),
            steps=st.lists(
                st.builds(
                    workflow_pb2.Step,
                    http=st.builds(
                        workflow_pb2.HttpRequest,
                        url=st.text(max_size=20) | st.text(max_size=20).map("http://".__add__),
                        headers=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
                        expected_statuses=st.lists(st.integers(0, 2**32 - 1)),
                    ),
                ),
                max_size=3,
            ),
        ),
        max_size=5,
    ),
)


@given(MESSAGES)
def test_any_submission_is_judged(job: JobSubmission) -> None:
    assert validate_submission(job)
    assert validate_share(job)


def is_judged(data: bytes) -> None:
    job = JobSubmission()
    try:
        job.ParseFromString(data)
    except DecodeError:
        return
    assert isinstance(validate_submission(job), list)
    assert isinstance(validate_share(job), list)


@given(st.binary(max_size=400))
@example(b"")
def test_any_bytes_that_are_a_submission_are_judged(data: bytes) -> None:
    is_judged(data)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
def test_a_damaged_submission_is_judged(damages: list[tuple[int, int]]) -> None:
    data = bytearray(valid_job().SerializeToString())
    for position, byte in damages:
        data[position % len(data)] = byte
    is_judged(bytes(data))
