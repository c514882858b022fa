"""What declared steps of any protocol have in common: templates, checks, extraction, feeds, over WebSockets."""

import json
from collections.abc import Mapping

from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.websocket_server import websocket_server

NUMBERS = {"name": "numbers", "csv": "n\n1\n2\n3\n4\n5\n", "mode": "FEED_MODE_UNIQUE"}


def talk(name: str, *actions: object, **fields: object) -> dict[str, object]:
    return {"name": name, "websocket": {"url": "/echo", "actions": [*actions, {"expect": {"messages": 1}}]}, **fields}


async def run(workflow: Mapping[str, object], port: int) -> Outcome:
    async with running_engine() as engine:
        load = ParseDict({"name": "w", **workflow}, workflow_pb2.Workflow())
        outcome = await engine.run(load, f"http://127.0.0.1:{port}")
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


def checks(step: pb.StepStats) -> dict[str, tuple[int, int]]:
    return {check.name: (check.passes, check.fails) for check in step.checks}


def calls(step: pb.StepStats) -> tuple[int, dict[str, int]]:
    (protocol,) = step.protocols
    failures = {pb.ErrorClass.Name(entry.error_class): entry.count for entry in protocol.failures}
    return protocol.total_count, failures


async def test_what_one_step_finds_the_next_one_says() -> None:
    first = talk(
        "first",
        {"send_text": json.dumps({"id": "{{iteration}}-{{numbers.n}}"})},
        extract=[{"variable": "id", "json_path": "$.id"}, {"variable": "status", "status": True}],
        checks=[
            {"name": "opened", "status": {"any_of": [101]}},
            {"name": "has an id", "json": {"path": "$.id"}},
            {"name": "upgraded", "header": {"name": "upgrade", "equals": "websocket"}},
            {"name": "quick", "max_duration": "5s"},
            {"name": "never", "body_contains": "nothing of that kind"},
        ],
    )
    second = talk("second", {"send_text": "{{status}} {{id}} {{vu}}"})
    second["websocket"]["url"] = "/echo?id={{id}}"  # type: ignore[index]
    second["websocket"]["headers"] = {"X-Id": "{{id}}"}  # type: ignore[index]
    load = {"per_vu_iterations": {"vus": 1, "iterations": 3}, "feeds": [NUMBERS], "steps": [first, second]}
    async with websocket_server() as server:
        outcome = await run(load, server.port)
    said = [message for message in server.received if isinstance(message, str) and message.startswith("101")]
    assert said == ["101 0-1 1", "101 1-2 1", "101 2-3 1"]
    assert [headers["X-Id"] for headers in server.headers if "X-Id" in headers] == ["0-1", "1-2", "2-3"]
    held = checks(outcome.last.totals.steps[0])
    assert held == {"opened": (3, 0), "has an id": (3, 0), "upgraded": (3, 0), "quick": (3, 0), "never": (0, 3)}


async def test_an_iteration_ends_where_a_step_lacks_what_later_ones_need() -> None:
    steps = [
        talk("first", {"send_text": "no json"}, extract=[{"variable": "id", "json_path": "$.id"}]),
        talk("second", {"send_text": "{{id}}"}),
    ]
    async with websocket_server() as server:
        outcome = await run({"per_vu_iterations": {"vus": 2, "iterations": 2}, "steps": steps}, server.port)
    assert server.received == ["no json"] * 4
    first, second = outcome.last.totals.steps
    assert calls(first) == (4, {"ERROR_CLASS_CHECK": 4})
    assert not second.protocols
    assert outcome.last.totals.iterations == 4


async def test_a_refused_session_is_a_response_and_a_broken_one_is_none() -> None:
    steps = [
        talk(
            name,
            {"send_text": "a"},
            checks=[{"name": "refused", "status": {"any_of": [403]}}, {"name": "why", "body_contains": "no"}],
            extract=[{"variable": "why", "regex": {"pattern": "."}, "default": "-"}],
        )
        for name in ("refused", "broken")
    ]
    steps[0]["websocket"]["url"] = "/refuse"  # type: ignore[index]
    steps[1]["websocket"]["url"] = "/drop"  # type: ignore[index]
    async with websocket_server() as server:
        outcome = await run({"per_vu_iterations": {"vus": 1, "iterations": 2}, "steps": steps}, server.port)
    refused, broken = outcome.last.totals.steps
    assert calls(refused) == (2, {"ERROR_CLASS_STATUS": 2})
    assert checks(refused) == {"refused": (2, 0), "why": (2, 0)}
    assert calls(broken) == (2, {"ERROR_CLASS_RESET": 2})
    assert checks(broken) == {"refused": (0, 2), "why": (0, 2)}


async def test_users_end_when_a_unique_feed_is_used_up() -> None:
    load = {"feeds": [NUMBERS], "steps": [talk("a", {"send_text": "{{numbers.n}}"})]}
    async with websocket_server() as server:
        closed = await run({**load, "shared_iterations": {"vus": 3, "iterations": 50}}, server.port)
        assert sorted(map(str, server.received)) == ["1", "2", "3", "4", "5"]
        rate = {"rate": 40, "duration": "0.5s", "pre_allocated_vus": 2}
        opened = await run({**load, "constant_arrival_rate": rate}, server.port)
    assert closed.last.totals.iterations == opened.last.totals.iterations == 5
    assert opened.last.totals.dropped_iterations == 15
    assert closed.elapsed_seconds < 20


async def test_users_pause_after_what_fails_at_once_but_not_after_answers() -> None:
    steps = [talk("refused")]
    steps[0]["websocket"]["url"] = "/refuse"  # type: ignore[index]
    async with websocket_server() as server:
        refused = await run({"per_vu_iterations": {"vus": 1, "iterations": 8}, "steps": steps}, server.port)
    unreachable = await run({"per_vu_iterations": {"vus": 1, "iterations": 8}, "steps": steps}, 1)
    assert calls(refused.last.totals.steps[0]) == (8, {"ERROR_CLASS_STATUS": 8})
    assert max(refused.elapsed_seconds, 1) < unreachable.elapsed_seconds
