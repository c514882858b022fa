import json
from itertools import count

from google.protobuf.json_format import ParseDict

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.plan import compile_plan, encode_step
from hyperscale.worker.engine.templates import TemplateScope


def filled(http: dict[str, object], **variables: str) -> bytes:
    """The request with its slots filled from variables, and from the row {'name': 'Zoë & co'} of feed users."""
    workflow = workflow_pb2.Workflow(name="w")
    ParseDict({"vus": 1, "duration": "1s"}, workflow.constant_vus)
    ParseDict({"name": "a", "http": http}, workflow.steps.add())
    step = compile_plan(workflow, "http://target.test/base").steps[0]
    assert step.template is not None
    numbers = count(1)
    scope = TemplateScope(vu=3, next_counter=lambda: next(numbers), iteration=4, variables=variables)
    scope.rows["users"] = {"name": "Zoë & co"}
    return step.template.fill(scope)


def body_of(request: bytes) -> bytes:
    """The body, whose length is announced right."""
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    return body


def first_line(request: bytes) -> str:
    return request.partition(b"\r\n")[0].decode()


def test_values_in_a_url_are_percent_encoded_unless_raw() -> None:
    line = first_line(filled({"url": "/{{path}}/{{path | raw}}?q={{users.name}}"}, path="a/b c"))
    assert line == "GET /base/a%2Fb%20c/a/b%20c?q=Zo%C3%AB%20%26%20co HTTP/1.1"


def test_no_value_breaks_out_of_its_header() -> None:
    head = filled({"url": "/", "headers": {"X-A": "<{{evil}}>", "X-B": "{{evil | raw}}"}}, evil="a\r\nX-C: d")
    assert b"\r\nX-A: <a  X-C: d>\r\n" in head
    assert b"\r\nX-B: a  X-C: d\r\n" in head


def test_no_value_breaks_out_of_the_request_line() -> None:
    line = first_line(filled({"url": "/{{evil | raw}}"}, evil=" HTTP/1.1\r\nX: y"))
    assert line == "GET /base/%20HTTP/1.1%0D%0AX:%20y HTTP/1.1"


def test_text_takes_values_as_they_are() -> None:
    request = filled({"url": "/", "method": "HTTP_METHOD_POST", "text": "<{{a}}>{{users.name}}{{'{{'}}"}, a='"ö"')
    assert body_of(request).decode() == '<"ö">Zoë & co{{'


def test_json_stays_json_whatever_the_values_are() -> None:
    content = {"a": "x{{v}}y", "list": ["{{v}}", "plain"], "n": "{{number | raw}}", "part": "[{{number | raw}}]"}
    request = filled({"url": "/", "json": content}, v='"\n\\ü\u2028', number="7")
    sent = '"\n\\ü\u2028'
    assert json.loads(body_of(request)) == {"a": f"x{sent}y", "list": [sent, "plain"], "n": 7, "part": "[7]"}


def test_a_body_may_be_sent_in_chunks() -> None:
    request = filled({"url": "/", "method": "HTTP_METHOD_POST", "text": "12345{{v}}", "chunked": True}, v="x" * 20)
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"19\r\n12345" + b"x" * 20 + b"\r\n0\r\n\r\n"


def test_functions() -> None:
    text = "{{vu}} {{iteration}} {{counter}} {{counter}} {{random_int(5, 5)}} {{random_choice('red')}}"
    assert body_of(filled({"url": "/", "text": text})) == b"3 4 1 2 5 red"
    ids = {body_of(filled({"url": "/", "text": "{{uuid}}"})) for _ in range(3)}
    assert len(ids) == 3
    seconds, milliseconds = body_of(filled({"url": "/", "text": "{{timestamp}} {{timestamp_ms}}"})).split()
    assert int(milliseconds) // 1000 - int(seconds) in {0, 1}


def test_half_a_character_harms_nothing() -> None:
    assert body_of(filled({"url": "/{{v}}", "headers": {"X": "{{v}}"}, "text": "{{v}}"}, v="\ud800")) == b"?"


def test_requests_of_code_are_sent_as_they_are() -> None:
    step = workflow_pb2.Step(name="a", http=workflow_pb2.HttpRequest(url="/{{vu}}", text="{{uuid}} {{"))
    encoded = encode_step(0, step, "http://target.test", lambda _: 0)
    assert encoded.template is None
    assert first_line(encoded.payload) == "GET /%7B%7Bvu%7D%7D HTTP/1.1"
    assert body_of(encoded.payload) == b"{{uuid}} {{"
