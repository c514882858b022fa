import json
from typing import Any

import pytest

from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from tests.support.jobs import workflow


def faults_of(step: dict[str, Any], **fields: Any) -> dict[str, str]:
    job = {"target": "http://target.test", "workflows": [workflow("w", steps=[{"name": "a", **step}])], **fields}
    try:
        parse_job(json.dumps(job), DocumentFormat.JSON)
    except JobFileError as error:
        return {fault.path.removeprefix("workflows[0].steps[0]."): fault.message for fault in error.faults}
    return {}


def test_a_whole_operation_is_valid() -> None:
    graphql = {
        "url": "/graphql",
        "query": "query Q($id: ID!) { item(id: $id) { name } }",
        "variables": {"id": "{{uuid}}", "deep": {"list": [1, None]}},
        "operation_name": "Q",
        "headers": {"Authorization": "Bearer {{vu}}"},
        "timeout": "2s",
    }
    check = {"name": "named", "json": {"path": "$.data.item.name"}}
    assert faults_of({"graphql": graphql, "checks": [check]}) == {}


@pytest.mark.parametrize(
    ("graphql", "path", "reason"),
    [
        ({"query": "{ a }"}, "graphql.url", "is required"),
        ({"url": "/"}, "graphql.query", "is required"),
        ({"url": "/", "query": " "}, "graphql.query", "is required"),
        ({"url": "/", "query": "x" * 262_145}, "graphql.query", "at most 262144"),
        ({"url": "/", "query": "{ a }", "variables": [1]}, "graphql.variables", "must be a mapping"),
        ({"url": "/", "query": "{ a }", "operation_name": "a b"}, "graphql.operation_name", "GraphQL name"),
        ({"url": "/", "query": "{ a }", "headers": {"Host": "a"}}, "graphql.headers['Host']", "set by the engine"),
        ({"url": "/", "query": "{ a }", "timeout": "11m"}, "graphql.timeout", "at most 10m"),
        ({"url": "/", "query": "{ a }", "variables": {"a": "{{b}}"}}, "graphql.variables.a", "no earlier step"),
        ({"url": "/", "query": "{ a {{b}} }"}, "graphql.query", "no earlier step"),
        ({"url": "http://{{vu}}/", "query": "{ a }"}, "graphql.url", ""),
    ],
)
def test_faults_of_operations(graphql: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"graphql": graphql})
    assert reason in faults[path]


def test_a_whole_session_is_valid() -> None:
    actions = [
        {"send_text": "hello"},
        {"send_binary": "e3sxfX0="},
        {"expect": {"messages": 2}},
        {"expect": {"matches": "a+"}},
    ]
    for url in ("/chat", "ws://chat.test/a?b=c", "WSS://chat.test:8443/"):
        session = {
            "url": url,
            "headers": {"Origin": "x"},
            "subprotocols": ["a", "b"],
            "actions": actions,
            "timeout": "5s",
        }
        assert faults_of({"websocket": session}) == {}


@pytest.mark.parametrize(
    ("session", "path", "reason"),
    [
        ({}, "url", "must be a ws:// or wss:// URL"),
        ({"url": "http://chat.test/"}, "url", "must be a ws:// or wss:// URL"),
        ({"url": "ws://a b/"}, "url", "must not contain spaces"),
        ({"url": "ws://me@chat.test/"}, "url", "credentials"),
        ({"url": "/{{nobody}}"}, "url", "no earlier step extracts"),
        ({"url": "ws://{{vu}}.test/"}, "url", "scheme or host"),
        ({"url": "/", "headers": {"Sec-WebSocket-Key": "a"}}, "headers['Sec-WebSocket-Key']", "set by the engine"),
        ({"url": "/", "headers": {"X": "{{nobody}}"}}, "headers['X']", "no earlier step extracts"),
        ({"url": "/", "subprotocols": ["a b"]}, "subprotocols[0]", "is not the name"),
        ({"url": "/", "subprotocols": ["a", "a"]}, "subprotocols[1]", "is there already"),
        ({"url": "/", "timeout": "11m"}, "timeout", "at most 10m"),
        ({"url": "/", "actions": [{}]}, "actions[0]", "needs an action"),
        ({"url": "/", "actions": [{"send_text": "{{vu"}]}, "actions[0].send_text", "is not closed"),
        ({"url": "/", "actions": [{"expect": {}}]}, "actions[0].expect", "needs one of messages"),
        ({"url": "/", "actions": [{"expect": {"messages": 0}}]}, "actions[0].expect.messages", "1 to 1,000,000"),
        ({"url": "/", "actions": [{"expect": {"contains": ""}}]}, "actions[0].expect.contains", "not be empty"),
        ({"url": "/", "actions": [{"expect": {"matches": "("}}]}, "actions[0].expect.matches", ""),
        ({"url": "/", "actions": [{"send_text": "a"}] * 1001}, "actions", "at most 1000"),
    ],
)
def test_faults_of_sessions(session: dict[str, Any], path: str, reason: str) -> None:
    assert reason in faults_of({"websocket": session})[f"websocket.{path}"]


def test_protocols_share_a_workflow_and_its_variables() -> None:
    login = {"name": "a", "http": {"url": "/"}, "extract": [{"variable": "token", "json_path": "$.token"}]}
    talk = {"name": "b", "websocket": {"url": "/{{token}}"}}
    job = parse_job(
        json.dumps({"target": "http://a.test", "workflows": [workflow("w", steps=[login, talk])]}), DocumentFormat.JSON
    )
    assert [step.WhichOneof("action") for step in job.workflows[0].steps] == ["http", "websocket"]


def test_what_a_session_has_got_can_be_checked_and_extracted() -> None:
    session = {
        "url": "/{{users.room}}",
        "headers": {"X-Vu": "{{vu}}"},
        "actions": [{"send_text": "{{uuid}}"}, {"expect": {"contains": "{{users.room}}"}}],
    }
    steps: list[dict[str, Any]] = [
        {
            "name": "a",
            "websocket": session,
            "checks": [{"name": "c", "status": {"any_of": [101]}}, {"name": "d", "json": {"path": "$.id"}}],
            "extract": [{"variable": "id", "json_path": "$.id"}, {"variable": "served_by", "header": "server"}],
        },
        {"name": "b", "websocket": {"url": "/{{id}}"}},
    ]
    job = {
        "target": "http://a.test",
        "workflows": [workflow("w", steps=steps, feeds=[{"name": "users", "csv": "room\nblue\n"}])],
    }
    assert parse_job(json.dumps(job), DocumentFormat.JSON).workflows[0].steps[1].websocket.url == "/{{id}}"


def test_steps_without_an_action_of_their_own_have_no_checks() -> None:
    check = {"name": "c", "status": {"any_of": [200]}}
    assert "says itself what it does" in faults_of({"checks": [check]})["checks"]


def test_whole_steps_over_sockets_are_valid() -> None:
    actions = [
        {"send_text": "{{uuid}}\n"},
        {"send_binary": "AAE="},
        {"read": {"delimiter": "\n"}},
        {"read": {"bytes": 3}},
        {"read": {"close": True}},
    ]
    for address in ("a.test:7", "tcp://a.test:7", "TLS://[::1]:65535", "10.0.0.1:1"):
        tcp = {"address": address, "actions": actions, "timeout": "1s", "keep_open": True}
        assert faults_of({"tcp": tcp, "checks": [{"name": "c", "body_contains": "a"}]}) == {}
    asks = [{"send_text": "a"}, {"expect": {"datagrams": 2}}, {"expect": {"contains": "{{vu}}"}}]
    assert faults_of({"udp": {"address": "udp://a.test:7", "actions": asks, "timeout": "1s"}}) == {}


@pytest.mark.parametrize(
    ("step", "path", "reason"),
    [
        ({}, "address", "must be tcp://host:port or tls://host:port or host:port"),
        ({"address": "http://a.test:80"}, "address", "must be tcp://"),
        ({"address": "a.test"}, "address", "must be tcp://"),
        ({"address": "{{vu}}.test:7"}, "address", "without templates"),
        ({"address": "a.test:70000"}, "address", "a port from 1 to 65535"),
        ({"address": "a.test:7", "timeout": "11m"}, "timeout", "at most 10m"),
        ({"address": "a.test:7", "actions": [{}]}, "actions[0]", "needs an action: send_text, send_binary or read"),
        ({"address": "a.test:7", "actions": [{"send_text": "{{a}}"}]}, "actions[0].send_text", "no earlier step"),
        ({"address": "a.test:7", "actions": [{"read": {}}]}, "actions[0].read", "needs one of delimiter"),
        (
            {"address": "a.test:7", "actions": [{"read": {"delimiter": ""}}]},
            "actions[0].read.delimiter",
            "not be empty",
        ),
        ({"address": "a.test:7", "actions": [{"read": {"bytes": 0}}]}, "actions[0].read.bytes", "1 to 1,073,741,824"),
        (
            {"address": "a.test:7", "actions": [{"read": {"close": True}}, {"send_text": "a"}]},
            "actions[0].read.close",
            "the last action",
        ),
        ({"address": "a.test:7", "actions": [{"send_text": "a"}] * 1001}, "actions", "at most 1000"),
    ],
)
def test_faults_of_tcp(step: dict[str, Any], path: str, reason: str) -> None:
    assert reason in faults_of({"tcp": step})[f"tcp.{path}"]


@pytest.mark.parametrize(
    ("step", "path", "reason"),
    [
        (
            {"address": "tcp://a.test:7", "actions": [{"send_text": "a"}]},
            "address",
            "must be udp://host:port or host:port",
        ),
        ({"address": "a.test:7"}, "actions", "1 to 1000 actions are required"),
        ({"address": "a.test:7", "actions": [{}]}, "actions[0]", "needs an action: send_text, send_binary or expect"),
        ({"address": "a.test:7", "actions": [{"send_text": ""}]}, "actions[0].send_text", "1 to 65,507 bytes"),
        ({"address": "a.test:7", "actions": [{"send_text": "ü" * 40_000}]}, "actions[0].send_text", "not 80,000"),
        ({"address": "a.test:7", "actions": [{"expect": {}}]}, "actions[0].expect", "needs one of datagrams, contains"),
        (
            {"address": "a.test:7", "actions": [{"expect": {"datagrams": 0}}]},
            "actions[0].expect.datagrams",
            "must be 1 to",
        ),
    ],
)
def test_faults_of_udp(step: dict[str, Any], path: str, reason: str) -> None:
    assert reason in faults_of({"udp": step})[f"udp.{path}"]


@pytest.mark.parametrize("action", ["tcp", "udp"])
def test_what_a_socket_does_not_have_cannot_be_looked_at(action: str) -> None:
    step = {
        action: {"address": "a.test:7", "actions": [{"send_text": "a"}]},
        "checks": [{"name": "a", "status": {"any_of": [200]}}, {"name": "b", "header": {"name": "x"}}],
        "extract": [{"variable": "c", "header": "x"}, {"variable": "d", "status": True}],
    }
    assert set(faults_of(step)) == {"checks[0].status", "checks[1].header", "extract[0].header", "extract[1].status"}
