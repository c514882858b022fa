import pytest
from google.protobuf import struct_pb2

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.models.load import FixedLoad
from hyperscale.worker.engine.models.plan import EncodedStep, Origin
from hyperscale.worker.engine.plan import compile_plan

POST = workflow_pb2.HTTP_METHOD_POST


def workflow_of(*requests: workflow_pb2.HttpRequest) -> workflow_pb2.Workflow:
    steps = [workflow_pb2.Step(name=f"s{index}", http=request) for index, request in enumerate(requests)]
    return workflow_pb2.Workflow(name="w", steps=steps, constant_vus=workflow_pb2.ConstantVus(vus=1))


def compiled(request: workflow_pb2.HttpRequest, target: str = "http://h:8080") -> EncodedStep:
    return compile_plan(workflow_of(request), target).steps[0]


def get(url: str, target: str = "http://h:8080") -> str:
    return compiled(workflow_pb2.HttpRequest(url=url), target).payload.decode()


@pytest.mark.parametrize(
    ("url", "target", "request_target", "host"),
    [
        ("/a", "http://h:8080", "/a", "h:8080"),
        ("/a", "http://h:8080/base/", "/base/a", "h:8080"),
        ("a", "http://h", "/a", "h"),
        ("?q=1", "http://h", "/?q=1", "h"),
        ("http://h", "", "/", "h"),
        ("https://h:443/x", "", "/x", "h"),
        ("http://h:443/x", "", "/x", "h:443"),
        ("http://H/x#fragment", "", "/x", "h"),
        ("http://[::1]:81/", "", "/", "[::1]:81"),
        ("http://h/ä b?q=ü x", "", "/%C3%A4%20b?q=%C3%BC%20x", "h"),
        ("http://h/%20?q=%2F", "", "/%20?q=%2F", "h"),
        ("http://bücher.example/", "", "/", "xn--bcher-kva.example"),
    ],
)
def test_url_becomes_request_line_and_host(url: str, target: str, request_target: str, host: str) -> None:
    assert get(url, target).startswith(f"GET {request_target} HTTP/1.1\r\nHost: {host}\r\n")


def test_request_is_complete() -> None:
    request = workflow_pb2.HttpRequest(
        method=POST, url="/login", headers={"X-B": "2", "X-A": "1", "User-Agent": "mine"}, text="grüße"
    )
    assert compiled(request).payload == (
        b"POST /login HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: mine\r\nX-A: 1\r\nX-B: 2\r\n"
        b"Content-Length: 7\r\n\r\n" + "grüße".encode()
    )


def test_json_is_compact_and_typed() -> None:
    body = struct_pb2.Value()
    body.struct_value.update({"id": 7, "ratio": 0.5, "name": "ä", "tags": [True, None]})
    payload = compiled(workflow_pb2.HttpRequest(method=POST, url="/", json=body)).payload
    head, _, sent = payload.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert sent.decode() == '{"id":7,"name":"ä","ratio":0.5,"tags":[true,null]}'
    own = workflow_pb2.HttpRequest(method=POST, url="/", json=body, headers={"content-type": "application/x"})
    assert b"application/json" not in compiled(own).payload


def test_length_is_sent_where_a_body_is_expected() -> None:
    assert b"Content-Length: 0\r\n" in compiled(workflow_pb2.HttpRequest(method=POST, url="/")).payload
    assert b"Content-Length" not in compiled(workflow_pb2.HttpRequest(url="/")).payload


def test_each_origin_is_listed_once() -> None:
    urls = ["/a", "https://other/", "http://h:8080/b", "https://other:443/c"]
    plan = compile_plan(workflow_of(*(workflow_pb2.HttpRequest(url=url) for url in urls)), "http://h:8080")
    assert plan.origins == (Origin("h", 8080, tls=False), Origin("other", 443, tls=True))
    assert [step.origin_index for step in plan.steps] == [0, 1, 0, 1]


def test_defaults_and_limits_of_a_step() -> None:
    step = compiled(workflow_pb2.HttpRequest(url="/", expected_statuses=[404]))
    assert step.timeout_seconds == 60
    assert 404 in step.expected_statuses
    assert 200 not in step.expected_statuses
    assert step.is_usual
    large = workflow_pb2.HttpRequest(method=POST, url="/", binary=b"x" * 100_000)
    assert not compiled(large).is_usual
    assert not compiled(workflow_pb2.HttpRequest(method=workflow_pb2.HTTP_METHOD_HEAD, url="/")).is_usual


def test_load_is_taken_over() -> None:
    workflow = workflow_of(workflow_pb2.HttpRequest(url="/"))
    workflow.shared_iterations.vus = 3
    workflow.shared_iterations.iterations = 50
    workflow.graceful_stop.FromMilliseconds(1500)
    plan = compile_plan(workflow, "http://h")
    assert plan.load == FixedLoad(3, 50, is_stock_per_user=False)
    assert (plan.vus, plan.load_seconds, plan.graceful_stop_seconds) == (3, 600, 1.5)


@pytest.mark.parametrize(
    ("request_", "target", "words"),
    [
        (workflow_pb2.HttpRequest(url="/a"), "", "no target"),
        (workflow_pb2.HttpRequest(url="/a"), "ftp://h", "scheme"),
        (workflow_pb2.HttpRequest(url="http:///a"), "", "no host"),
        (workflow_pb2.HttpRequest(url="http://h:99999/"), "", "ort"),
        (workflow_pb2.HttpRequest(url="http://user:secret@h/"), "", "credentials"),
        (workflow_pb2.HttpRequest(url="http://h h/"), "", "host name"),
        (workflow_pb2.HttpRequest(url="/", headers={"Host": "x"}), "http://h", "set by the engine"),
        (workflow_pb2.HttpRequest(url="/", headers={"X": "a\r\nY: b"}), "http://h", "control characters"),
        (workflow_pb2.HttpRequest(url="/", headers={"X Y": "a"}), "http://h", "not a header field name"),
    ],
)
def test_faults_name_the_step(request_: workflow_pb2.HttpRequest, target: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as raised:
        compile_plan(workflow_of(request_), target)
    assert "'s0'" in str(raised.value)


def test_workflow_without_load_steps_or_action() -> None:
    with pytest.raises(PlanError, match="no load"):
        compile_plan(workflow_pb2.Workflow(name="w"), "")
    with pytest.raises(PlanError, match="no steps"):
        compile_plan(workflow_of(), "")
    idle = workflow_of()
    idle.steps.add(name="s")
    with pytest.raises(PlanError, match="no action"):
        compile_plan(idle, "")
