"""The examples of other protocols through the whole suite, each against a real server."""

import asyncio
from pathlib import Path

from tests.support.graphql_shop import graphql_shop
from tests.support.local_cluster import hyperscale
from tests.support.recording_target import recording_target
from tests.support.websocket_server import websocket_server

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name: str, target: str, directory: Path) -> str:
    """A copy of an example that runs against a target."""
    copy = directory / name
    copy.write_text((EXAMPLES / name).read_text().replace("http://127.0.0.1:8000", target))
    return str(copy)


async def test_the_coded_websocket_example(tmp_path: Path) -> None:
    async with websocket_server() as server:
        job_file = example("coded_websocket.py", f"http://127.0.0.1:{server.port}", tmp_path)
        outcome = await asyncio.to_thread(hyperscale, "run", job_file, "--json")
        sessions, received = server.sessions, len(server.received)
    assert outcome.code == 0, outcome
    metrics = outcome.last_json["metrics"]
    assert metrics["ws_sessions"]["count"] == sessions > 10
    assert metrics["ws_msgs_sent"]["count"] == metrics["chat_messages"]["count"] == received


def test_the_graphql_example(tmp_path: Path) -> None:
    with recording_target(graphql_shop()) as target:
        outcome = hyperscale("run", example("graphql.yaml", target.url, tmp_path))
        seen = len(target.seen)
    assert outcome.code == 0, outcome
    assert "verdict: passed" in outcome.out
    assert "✓ status: is ordered" in outcome.out
    assert seen > 10


async def test_the_websocket_example(tmp_path: Path) -> None:
    async with websocket_server() as server:
        job_file = example("websocket.yaml", f"http://127.0.0.1:{server.port}", tmp_path)
        outcome = await asyncio.to_thread(hyperscale, "run", job_file, "--json")
        sessions, received, sent = server.sessions, len(server.received), server.sent
    assert outcome.code == 0, outcome
    result = outcome.last_json
    assert result["verdict"] == "passed"
    assert result["metrics"]["ws_sessions"]["count"] == sessions > 10
    assert result["metrics"]["ws_msgs_sent"]["count"] == received
    assert result["metrics"]["ws_msgs_received"]["count"] == sent
