"""Job files: what people write becomes the message, and what is wrong is told at once, with its place."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.v1.protocol import MAX_SUBMISSION_BYTES
from hyperscale.workload.documents import MAX_DEPTH, DocumentFormat
from hyperscale.workload.faults import Fault
from hyperscale.workload.jobfile import JobFileError, load_job_file, parse_job
from hyperscale.workload.overrides import JobOverrides
from hyperscale.workload.urls import BUNDLED_TARGET

GOOD = """
name: shop
target: https://shop.example.com
distribution: split
datacenters:
  required: [eu, us]
  weights: {eu: 3}
workflows:
  - name: browse
    priority: HIGH
    constantVus: {vus: 10, duration: 1m30s}
    graceful_stop: 0s
    steps:
      - name: home
        http: {url: /, timeout: 500ms}
      - name: order
        http:
          method: post
          url: /orders
          headers: {X-Trace: "1"}
          json: {items: [1, 2.5, null, true, "x"], empty: {}}
          expectedStatuses: [201]
  - name: buy
    dependsOn: [browse]
    sharedIterations: {vus: 2, iterations: "5", max_duration: 1.5s}
    steps:
      - name: pay
        http: {method: HTTP_METHOD_PUT, url: "http://pay:81/", binary: AAE=}
thresholds:
  - {metric: http_req_duration, expression: p(99.9) < 1s}
timeout: 2h
"""


def faults_of(text: str, document_format: DocumentFormat = DocumentFormat.YAML) -> list[Fault]:
    with pytest.raises(JobFileError) as raised:
        parse_job(text, document_format)
    return raised.value.faults


def with_workflow(text: str) -> str:
    return f"target: http://h\nworkflows:\n- name: w\n  {text}"


CONSTANT = "constant_vus: {vus: 1, duration: 1s}\n  "
STEP = "steps: [{name: s, http: {url: /}}]"


def test_a_job_file_becomes_the_message() -> None:
    job = parse_job(GOOD, DocumentFormat.YAML)
    assert (job.name, job.distribution) == ("shop", job_pb2.DISTRIBUTION_SPLIT)
    assert dict(job.datacenters.weights) == {"eu": 3}
    browse, buy = job.workflows
    assert browse.priority == workflow_pb2.PRIORITY_HIGH
    assert browse.constant_vus.duration.seconds == 90
    assert browse.HasField("graceful_stop")
    home, order = (step.http for step in browse.steps)
    assert (home.timeout.seconds, home.timeout.nanos) == (0, 500_000_000)
    assert order.method == workflow_pb2.HTTP_METHOD_POST
    assert json_format.MessageToDict(order.json) == {"items": [1, 2.5, None, True, "x"], "empty": {}}
    assert (list(order.expected_statuses), dict(order.headers)) == ([201], {"X-Trace": "1"})
    assert (list(buy.depends_on), buy.shared_iterations.iterations) == (["browse"], 5)
    assert buy.shared_iterations.max_duration.nanos == 500_000_000
    assert buy.steps[0].http.binary == b"\x00\x01"
    assert job.timeout.seconds == 7200


def test_protobufs_own_json_is_a_job_file() -> None:
    job = parse_job(GOOD, DocumentFormat.YAML)
    assert parse_job(json_format.MessageToJson(job), DocumentFormat.JSON) == job
    assert parse_job(json_format.MessageToJson(job, preserving_proto_field_name=True), DocumentFormat.JSON) == job


@pytest.mark.parametrize("name", ["job.yaml", "job.yml", "job.YAML", "job.json"])
def test_the_extension_says_how_a_file_is_written(tmp_path: Path, name: str) -> None:
    job = parse_job(GOOD, DocumentFormat.YAML)
    path = tmp_path / name
    path.write_text(json_format.MessageToJson(job) if name.endswith("json") else GOOD)
    assert load_job_file(path) == job


def test_the_bundled_target_is_left_for_the_caller_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(GOOD.replace("https://shop.example.com", BUNDLED_TARGET))
    assert load_job_file(path).target == BUNDLED_TARGET
    assert load_job_file(path, JobOverrides(target="http://127.0.0.1:1234")).target == "http://127.0.0.1:1234"


def test_a_target_given_beside_the_file_is_judged_too(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(GOOD)
    with pytest.raises(JobFileError, match="target: must begin with http"):
        load_job_file(path, JobOverrides(target="ftp://h"))


def test_all_faults_of_a_file_come_in_one_error() -> None:
    text = """
nam: shop
target: http://h
distribution: splt
workflows:
  - name: browse
    constantVus: {vus: -10, duration: 90}
    shared_iterations: {vus: 1}
    steps:
      - name: home
        http: {url: "/ x", headers: {X: 3}, method: GETT, timeout: 5, text: a, json: 3, expected_statuses: 200}
      - name: home
      - 3
thresholds:
  - {metric: http_reqs, expression: p(99) < 1s}
timeout: yes
"""
    assert [str(fault) for fault in faults_of(text)] == [
        "nam: unknown field; did you mean 'name'?",
        "distribution: must be one of replicate, split, not 'splt'",
        "workflows[0].constant_vus.vus: must not be negative",
        "workflows[0].constant_vus.duration: must be a duration with a unit, such as '30s': write '90s'",
        "workflows[0].shared_iterations: cannot be given together with 'constantVus': only one of them is allowed",
        "workflows[0].steps[0].http.headers['X']: must be a text, not a number: put it in quotes",
        "workflows[0].steps[0].http.method: must be one of get, head, post, put, patch, delete, options, not 'GETT'",
        "workflows[0].steps[0].http.timeout: must be a duration with a unit, such as '30s': write '5s'",
        "workflows[0].steps[0].http.json: cannot be given together with 'text': only one of them is allowed",
        "workflows[0].steps[0].http.expected_statuses: must be a list, not a number",
        "workflows[0].steps[2]: must be a mapping of fields, not a number",
        "timeout: must be a duration with a unit, such as '30s'",
        "workflows[0].steps[1].name: 'home' is already used by workflows[0].steps[0]",
        "workflows[0].steps[0].http.url: must not contain spaces, control or non-ASCII characters: percent-encode them",
        "workflows[0].steps[1]: needs an action: http, graphql, websocket, grpc, tcp or udp",
        "thresholds[0].expression: http_reqs has no 'p(99)', only count, rate",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("constant_vus: {vus: 1.5, duration: 1s}", "workflows[0].constant_vus.vus: must be a whole number, not 1.5"),
        ("constant_vus: {vus: yes, duration: 1s}", "workflows[0].constant_vus.vus: must be a whole number, not the truth value true"),
        ("constant_vus: {vus: 99999999999, duration: 1s}", "workflows[0].constant_vus.vus: must be at most 4,294,967,295"),
        ("constant_vus: {vus: ten, duration: 1s}", "workflows[0].constant_vus.vus: must be a whole number, not a text"),
        ("constant_vus: {vus: 1, duration: -3s}", "workflows[0].constant_vus.duration: must not be negative"),
        ("constant_vus: {vus: 1, duration: 3 s}", "workflows[0].constant_vus.duration: must be a duration such as '30s', '500ms', '1m30s' or '2h', not '3 s'"),
        ("constant_vus: 5", "workflows[0].constant_vus: must be a mapping of fields, not a number"),
        ("constantVus: {vus: 1, duration: 1s}\n  constant_vus: {vus: 1, duration: 1s}", "workflows[0].constant_vus: cannot be given together with 'constantVus': only one of them is allowed"),
        ("constant_vus:", "workflows[0]: needs a load: constant_vus, ramping_vus, shared_iterations, per_vu_iterations, constant_arrival_rate or ramping_arrival_rate"),
        ("xyz: 1\n  constant_vus: {vus: 1, duration: 1s}", "workflows[0].xyz: unknown field; there are name, depends_on, priority, constant_vus, shared_iterations, ramping_vus, per_vu_iterations, constant_arrival_rate, ramping_arrival_rate, steps, graceful_stop, think_time, warm_up, feeds, descriptor_set, setup, teardown, once_per, setup_timeout, teardown_timeout"),
        ("depends_on: w", "workflows[0].depends_on: must be a list, not a text"),
        ("priority: 7", "workflows[0].priority: must be one of auto, low, normal, high, exclusive, not a number"),
    ],
)  # fmt: skip
def test_a_fault_of_a_workflow(text: str, fault: str) -> None:
    assert fault in [str(found) for found in faults_of(with_workflow(f"{text}\n  {STEP}"))]


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ("headers: [a]", "headers: must be a mapping, not a list"),
        ("headers: {1: a}", "headers['1']: its name must be a text, not a number: put it in quotes"),
        ("json: 2024-01-01", "json: JSON has no date: put it in quotes"),
        ("json: [.inf]", "json: JSON has no infinite or undefined numbers"),
        (
            "json: 9007199254740993",
            "json: whole numbers beyond 9007199254740992 would lose digits: write the body as text",
        ),
        ("json: {1: a}", "json: must be a text, not a number: put it in quotes"),
        ("binary: '***'", "binary: must be base64: "),
    ],
)
def test_a_fault_of_a_request(http: str, fault: str) -> None:
    text = with_workflow(CONSTANT + f"steps: [{{name: s, http: {{url: /, {http}}}}}]")
    [found] = faults_of(text)
    assert str(found).startswith(f"workflows[0].steps[0].http.{fault}")


def test_a_null_body_is_a_json_body() -> None:
    text = with_workflow("constant_vus: {vus: 1, duration: 1s}\n  steps: [{name: s, http: {url: /, json: null}}]")
    assert parse_job(text, DocumentFormat.YAML).workflows[0].steps[0].http.json.HasField("null_value")


@pytest.mark.parametrize(
    ("text", "document_format", "place", "message"),
    [
        ("a: [1,\nb: }", DocumentFormat.YAML, "line 2", "not YAML"),
        ("a: 1\nb: \x07", DocumentFormat.YAML, "", "not YAML"),
        ("a: 1\n---\nb: 1", DocumentFormat.YAML, "line 2", "not YAML"),
        ("name: a\nname: b", DocumentFormat.YAML, "line 2", "the key 'name' is given twice"),
        ("? [a]\n: b", DocumentFormat.YAML, "line 1", "a key must be a text"),
        ("name: !!python/object/apply:os.system [ls]", DocumentFormat.YAML, "", "must be a text"),
        ("a: !x y", DocumentFormat.YAML, "line 1", "not YAML"),
        ("name: 2024-13-45", DocumentFormat.YAML, "line 1", "not a value"),
        ("a: &a [*a]", DocumentFormat.YAML, "line 1", "levels deep"),
        ("[" * 100_000, DocumentFormat.YAML, "", "levels deep"),
        ("[" * 100 + "]" * 100, DocumentFormat.YAML, "line 1", "levels deep"),
        ("[" * 100_000, DocumentFormat.JSON, "", "levels deep"),
        ("[" * 100 + "]" * 100, DocumentFormat.JSON, "", "levels deep"),
        ('{"a": 1,\n "b" 2}', DocumentFormat.JSON, "line 2", "not JSON"),
        ('{"name": "a", "name": "b"}', DocumentFormat.JSON, "", "the key 'name' is given twice"),
        (f'{{"name": {"9" * 5000}}}', DocumentFormat.JSON, "", "not JSON"),
        ("", DocumentFormat.JSON, "line 1", "not JSON"),
        ("- a", DocumentFormat.YAML, "", "must be a mapping of fields, not a list"),
        ("x" * (MAX_SUBMISSION_BYTES + 1), DocumentFormat.YAML, "", "the limit is 5,242,880"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read(text: str, document_format: DocumentFormat, place: str, message: str) -> None:
    fault = faults_of(text, document_format)[0]
    assert place in fault.path
    assert message in fault.message


def test_aliases_cannot_make_a_small_file_huge() -> None:
    laughs = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    [fault] = faults_of(f"l0: &l0 [ha]\n{laughs}")
    assert "has more than 200,000 values" in fault.message


def test_an_alias_is_a_way_to_say_the_same_again() -> None:
    text = with_workflow(
        f"constant_vus: &load {{vus: 1, duration: 1s}}\n  {STEP}\n- name: v\n  constant_vus: *load\n  {STEP}"
    )
    first, second = parse_job(text, DocumentFormat.YAML).workflows
    assert first.constant_vus == second.constant_vus


def test_an_empty_file_says_what_is_needed() -> None:
    assert faults_of("") == [Fault("workflows", "1 to 100 workflows are required")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("job.txt", b"", "ends in .yaml, .yml, .json"),
        ("gone.yaml", None, "cannot be read: No such file"),
        ("job.yaml", b"name: a\nb: \xff", "line 2: is not UTF-8"),
        ("job.yaml", b" " * (MAX_SUBMISSION_BYTES + 7), "has 5,242,887 bytes"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JobFileError, match=message):
        load_job_file(path)


def is_job_or_faults(text: str, document_format: DocumentFormat) -> bool:
    try:
        return bool(parse_job(text, document_format).workflows)
    except JobFileError as error:
        return bool(error.faults)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "target", "workflows", "steps", "http", "url", "json", "headers", "constantVus", "vus",
                         "duration", "thresholds", "timeout", "depends_on", "priority", "binary", "x"]),
        inner,
        max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(PLAIN)
def test_any_document_becomes_a_job_or_faults(data: object) -> None:
    assert is_job_or_faults(json.dumps(data), DocumentFormat.JSON)


@given(st.text(max_size=60))
def test_any_text_becomes_a_job_or_faults(text: str) -> None:
    for document_format in DocumentFormat:
        assert is_job_or_faults(text, document_format)


def test_depth_is_enough_for_bodies() -> None:
    nested = "[" * (MAX_DEPTH - 10) + "]" * (MAX_DEPTH - 10)
    text = with_workflow(CONSTANT + f"steps: [{{name: s, http: {{url: /, json: {nested}}}}}]")
    assert parse_job(text, DocumentFormat.YAML).workflows[0].steps[0].http.json.HasField("list_value")
