"""HTTP steps in one workflow with steps of other protocols: the same promises as among themselves."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.integration.engine.http2_servers import Reply, http2_web, site
from tests.integration.engine.web_servers import Asked, redirect, response, step_of, values, web
from tests.support.websocket_server import websocket_server

Step = dict[str, Any]


def workflow(*steps: Step, iterations: int = 2, vus: int = 1, **fields: object) -> workflow_pb2.Workflow:
    load = {} if fields else {"shared_iterations": {"vus": vus, "iterations": iterations}}
    return ParseDict({"name": "mixed", "steps": list(steps), **load, **fields}, workflow_pb2.Workflow())


def socket(port: int, name: str = "talk", **fields: object) -> Step:
    return {"name": name, "websocket": {"url": f"ws://127.0.0.1:{port}/echo", "timeout": "5s", **fields}}


async def run(load: workflow_pb2.Workflow, url: str, **options: object) -> Outcome:
    async with running_engine() as engine:
        outcome = await engine.run(load, url, options=workflow_pb2.HttpOptions(**options))  # type: ignore[arg-type]
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


def checks_of(outcome: Outcome, step: str) -> dict[str, tuple[int, int]]:
    return {check.name: (check.passes, check.fails) for check in step_of(outcome, step).checks}


async def test_what_one_protocol_says_the_next_one_uses() -> None:
    def login(asked: Asked) -> Reply:
        return Reply(200, (("set-cookie", f"user={asked.connection}"),), b'{"token": "t%d"}' % asked.connection)

    def shop(_: Asked) -> bytes:
        return response(200, "Content-Type: text/plain", body=b"thanks")

    async with http2_web(site(login)) as front, web(shop) as back, websocket_server() as chat:
        steps: list[Step] = [
            {
                "name": "login",
                "http": {"url": f"{front.url}/login", "version": "HTTP_VERSION_HTTP_2"},
                "extract": [{"variable": "token", "json_path": "$.token"}],
            },
            {
                **socket(
                    chat.port,
                    headers={"Authorization": "Bearer {{token}}"},
                    actions=[{"send_text": "order of {{token}}"}, {"expect": {"contains": "{{token}}"}}],
                ),
                "extract": [{"variable": "order", "regex": {"pattern": "order of (\\w+)"}}],
            },
            {
                "name": "buy",
                "http": {"method": "HTTP_METHOD_POST", "url": "/buy/{{order}}", "json": {"by": "{{token}}"}},
                "checks": [{"name": "is thanked", "body_contains": "thanks"}],
            },
        ]
        outcome = await run(workflow(*steps, vus=3, iterations=12), back.url)
    assert outcome.failures == {}
    assert (len(front.asked), chat.sessions, len(back.asked)) == (12, 12, 12)
    assert (front.connections, back.connections) == (3, 3)
    assert {headers["Authorization"] for headers in chat.headers} <= {"Bearer t1", "Bearer t2", "Bearer t3"}
    for asked in back.asked:
        token = asked.target.removeprefix("/buy/")
        assert asked.body == b'{"by":"%s"}' % token.encode()
        assert asked.fields["cookie"] == f"user={token.removeprefix('t')}"
    assert checks_of(outcome, "buy") == {"is thanked": (12, 0)}
    measured = metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)
    assert measured["http_reqs"]["count"] == 24
    assert measured["ws_sessions"]["count"] == 12
    for name in ("login", "buy"):
        step = step_of(outcome, name)
        assert values(step.duration_ms) == values(step.blocked_ms) == values(step.waiting_ms) == 12


async def test_redirects_and_statuses_are_judged_as_ever() -> None:
    def shop(asked: Asked) -> bytes:
        return {
            "/moved": redirect("/there"),
            "/there": response(),
            "/circle": redirect("/circle"),
            "/gone": response(404, body=b"gone"),
        }[asked.target]

    checks = [{"name": "was", "status": {"any_of": [200, 302, 404]}}]
    steps: list[Step] = [
        {"name": "moved", "http": {"url": "/moved"}, "checks": checks},
        {"name": "circle", "http": {"url": "/circle", "max_redirects": 2}, "checks": checks},
        {
            "name": "gone",
            "http": {"url": "/gone"},
            "checks": checks,
            "extract": [{"variable": "x", "json_path": "$.x"}],
        },
        {"name": "never", "http": {"url": "/there"}},
    ]
    async with web(shop) as server, websocket_server() as chat:
        outcome = await run(workflow(socket(chat.port), *steps), server.url)
    # Without what it extracts the iteration ends; the status has failed the request already.
    assert outcome.failures == {"REDIRECT": 2, "STATUS": 2}
    assert outcome.last.totals.iterations == 2
    assert server.targets == {"/moved": 2, "/there": 2, "/circle": 6, "/gone": 2}
    assert all(checks_of(outcome, name) == {"was": (2, 0)} for name in ("moved", "circle", "gone"))


@pytest.mark.parametrize("version", ["HTTP_VERSION_HTTP_1_1", "HTTP_VERSION_HTTP_2"])
async def test_without_a_response_checks_fail_and_what_needs_it_does_not_run(version: str) -> None:
    silent = {"url": "/", "version": version, "first_byte_timeout": "0.2s"}
    steps: list[Step] = [
        {"name": "nobody", "http": {"url": "http://127.0.0.1:1/", "version": version}},
        {
            "name": "silent",
            "http": silent,
            "checks": [{"name": "is", "status": {"any_of": [200]}}],
            "extract": [{"variable": "x", "status": True}],
        },
    ]
    async with http2_web(lambda *_: None) as new, web(lambda _: response(), delay_seconds=5) as old:
        async with websocket_server() as chat:
            url = new.url if version.endswith("2") else old.url
            outcome = await run(workflow(*steps, socket(chat.port), iterations=3), url)
        assert chat.sessions == 0
    assert outcome.failures == {"CONNECT": 3, "TIMEOUT": 3}
    assert checks_of(outcome, "silent") == {"is": (0, 3)}
    assert outcome.last.totals.iterations == 3


async def test_errors_of_graphql_and_missing_values_fail_a_request_once() -> None:
    body = b'{"errors": [{"message": "no"}]}'
    query: Step = {"name": "query", "graphql": {"url": "/graphql", "query": "{ a }"}}
    needed: Step = {"name": "page", "http": {"url": "/"}, "extract": [{"variable": "x", "json_path": "$.x"}]}
    async with web(lambda _: response(body=body)) as server, websocket_server() as chat:
        outcome = await run(workflow(socket(chat.port), query, needed), server.url)
    assert outcome.failures == {"GRAPHQL": 2, "CHECK": 2}
    assert outcome.last.totals.steps[1].total_count == outcome.last.totals.steps[2].total_count == 2


async def test_the_end_of_the_run_interrupts_requests() -> None:
    load = workflow(
        {"name": "page", "http": {"url": "/"}},
        socket(1),
        constant_vus={"vus": 3, "duration": "0.4s"},
        graceful_stop="0s",
    )
    async with web(lambda _: response(), delay_seconds=20) as server:
        outcome = await run(load, server.url)
    assert (outcome.failures, outcome.total) == ({"CANCELLED": 3}, 3)
    assert len(server.asked) == 3
    assert outcome.elapsed_seconds < 15


async def test_the_first_request_counts_from_when_it_was_due() -> None:
    load = workflow(
        {"name": "page", "http": {"url": "/"}},
        socket(1),
        constant_arrival_rate={"rate": 20, "duration": "0.5s", "pre_allocated_vus": 4},
    )
    async with web(lambda _: response()) as server:
        outcome = await run(load, server.url)
    assert step_of(outcome, "page").total_count == len(server.asked) == 10
    assert outcome.failures == {}


async def test_users_share_a_limited_number_of_connections() -> None:
    async with web(lambda _: response(), delay_seconds=0.01) as server, websocket_server() as chat:
        load = workflow({"name": "page", "http": {"url": "/"}}, socket(chat.port), vus=6, iterations=24)
        outcome = await run(load, server.url, max_connections_per_origin=2)
    assert (outcome.failures, len(server.asked)) == ({}, 24)
    assert server.most_open == 2
