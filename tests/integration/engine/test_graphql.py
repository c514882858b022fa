"""GraphQL steps against the reference implementation."""

import json

from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.graphql_shop import graphql_shop
from tests.support.recording_target import RecordingTarget, recording_target

ORDER = "mutation Order($item: Int!, $note: String) { order(item: $item, note: $note) { number note } }"


async def run(target: RecordingTarget, *steps: object, iterations: int = 5) -> Outcome:
    content = {"name": "w", "steps": list(steps), "shared_iterations": {"vus": 2, "iterations": iterations}}
    async with running_engine() as engine:
        outcome = await engine.run(ParseDict(content, workflow_pb2.Workflow()), target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    assert outcome.total == len(target.seen)
    return outcome


async def test_operations_are_posts_with_variables_and_what_they_return_can_be_used() -> None:
    order = {
        "name": "order",
        "graphql": {
            "url": "/graphql",
            "query": f"query Never {{ items {{ id }} }} {ORDER}",
            "operation_name": "Order",
            "variables": {"item": 1, "note": 'the "{{counter}}"'},
            "headers": {"X-Shop": "yes"},
        },
        "extract": [{"variable": "number", "json_path": "$.data.order.number"}],
    }
    status = {
        "name": "status",
        "graphql": {
            "url": "/graphql",
            "query": "query S($number: Int!) { status(number: $number) }",
            "variables": {"number": "{{number | raw}}"},
        },
        "checks": [{"name": "ordered", "json": {"path": "$.data.status", "equals": "ORDERED"}}],
    }
    with recording_target(graphql_shop()) as target:
        outcome = await run(target, order, status)
    assert outcome.failures == {}
    assert outcome.total == 10
    checks = [check for step in outcome.last.totals.steps for check in step.checks]
    assert [(check.passes, check.fails) for check in checks] == [(5, 0)]
    first = next(request for request in target.seen if "mutation" in request.body)
    assert (first.method, first.headers["Content-Type"], first.headers["X-Shop"]) == ("POST", "application/json", "yes")
    notes = {json.loads(request.body)["variables"]["note"] for request in target.seen if "mutation" in request.body}
    assert notes == {f'the "{number}"' for number in range(1, 6)}


async def test_errors_in_the_body_count_once_each() -> None:
    broken = {"name": "broken", "graphql": {"url": "/", "query": "{ nothing }"}}
    refused = {
        "name": "refused",
        "graphql": {"url": "/", "query": ORDER, "variables": {"item": -1}},
        "extract": [{"variable": "number", "json_path": "$.data.order.number"}],
    }
    with recording_target(graphql_shop()) as target:
        outcome = await run(target, broken, refused)
    assert outcome.failures == {"GRAPHQL": 10}
    assert {step.step_name: step.duration_ms.counts != [] for step in outcome.last.totals.steps} == {
        "broken": True,
        "refused": True,
    }


async def test_no_server_is_a_failure_to_connect() -> None:
    content = {
        "name": "w",
        "steps": [{"name": "a", "graphql": {"url": "http://127.0.0.1:1/", "query": "{ items { id } }"}}],
        "shared_iterations": {"vus": 1, "iterations": 2},
    }
    async with running_engine() as engine:
        outcome = await engine.run(ParseDict(content, workflow_pb2.Workflow()))
    assert outcome.failures == {"CONNECT": 2}
