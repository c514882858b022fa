"""The examples of other protocols through the whole suite, each against a real server."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.engine.http2_servers import Reply, http2_web, site
from tests.integration.engine.web_servers import Asked
from tests.support.graphql_shop import graphql_shop
from tests.support.local_cluster import hyperscale
from tests.support.recording_target import Reaction, SeenRequest, recording_target
from tests.support.socket_servers import tcp_server, udp_server
from tests.support.target import bundled_target
from tests.support.websocket_server import websocket_server

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name: str, target: str, directory: Path, *more: tuple[str, str]) -> str:
    """A copy of an example that runs against a target, with any more replacements."""
    content = (EXAMPLES / name).read_text().replace("http://127.0.0.1:8000", target)
    for old, new in more:
        content = content.replace(old, new)
    copy = directory / name
    copy.write_text(content)
    return str(copy)


@pytest.mark.parametrize("name", ["tcp_udp.yaml", "coded_sockets.py"])
async def test_the_examples_of_sockets(name: str, tmp_path: Path) -> None:
    async with tcp_server() as tcp, udp_server() as udp:
        ports = [("127.0.0.1:7001", f"127.0.0.1:{tcp.port}"), ("127.0.0.1:7002", f"127.0.0.1:{udp.port}")]
        outcome = await asyncio.to_thread(hyperscale, "run", example(name, "", tmp_path, *ports), "--json")
        writes, datagrams, connections = len(tcp.lines), len(udp.datagrams), tcp.connections
    assert outcome.code == 0, outcome
    result = outcome.last_json
    assert result["verdict"] == "passed"
    assert result["metrics"]["tcp_writes"]["count"] == writes > 30
    assert result["metrics"]["tcp_sockets"]["count"] == connections
    assert result["metrics"]["udp_datagrams_sent"]["count"] == datagrams > 30


async def test_the_coded_websocket_example(tmp_path: Path) -> None:
    async with websocket_server() as server:
        job_file = example("coded_websocket.py", f"http://127.0.0.1:{server.port}", tmp_path)
        outcome = await asyncio.to_thread(hyperscale, "run", job_file, "--json")
        sessions, received = server.sessions, len(server.received)
    assert outcome.code == 0, outcome
    metrics = outcome.last_json["metrics"]
    assert metrics["ws_sessions"]["count"] == sessions > 10
    assert metrics["ws_msgs_sent"]["count"] == metrics["chat_messages"]["count"] == received


@pytest.mark.parametrize("name", ["graphql.yaml", "coded_graphql.py"])
def test_the_graphql_examples(name: str) -> None:
    with recording_target(graphql_shop()) as target:
        outcome = hyperscale("run", str(EXAMPLES / name), "--target", target.url)
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


@pytest.mark.parametrize("name", ["grpc.yaml", "coded_grpc.py"])
def test_the_grpc_examples(name: str) -> None:
    outcome = hyperscale("run", str(EXAMPLES / name), "--json")
    assert outcome.code == 0, outcome
    result = outcome.last_json
    assert result["verdict"] == "passed"
    assert result["metrics"]["grpc_reqs"]["count"] > result["metrics"]["grpc_streams"]["count"] > 30
    assert result["errors"] == {}


def test_calls_of_examples_are_counted_by_the_target() -> None:
    with bundled_target() as target:
        outcome = hyperscale("run", str(EXAMPLES / "coded_grpc.py"), "--target", target.url, "--json")
        assert outcome.code == 0, outcome
        assert target.requests() == outcome.last_json["metrics"]["grpc_reqs"]["count"]


async def test_the_http2_example(tmp_path: Path) -> None:
    async with http2_web(site(_shop)) as server:
        job_file = example("http2.yaml", server.url, tmp_path)
        outcome = await asyncio.to_thread(hyperscale, "run", job_file, "--json")
        asked = len(server.asked)
    assert outcome.code == 0, outcome
    assert outcome.last_json["metrics"]["http_reqs"]["count"] == asked > 10


def _shop(asked: Asked) -> Reply:
    is_known = asked.fields.get("authorization") == "Bearer t"
    match asked.target.split("/")[1]:
        case "login":
            return Reply(body=b'{"token": "t"}')
        case "articles" if is_known:
            return Reply(body=b'{"price": 1, "number": 7}')
        case "orders" if is_known and asked.body == b'{"article":7}':
            return Reply(201)
        case _:
            return Reply(400)


async def test_the_example_of_mixed_protocols(tmp_path: Path) -> None:
    def react(request: SeenRequest) -> Reaction:
        if request.path == "/login":
            return Reaction({"token": f"t-{json.loads(request.body)['user']}"})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return Reaction({"noted": json.loads(request.body)["heard"] == token})

    async with websocket_server() as chat:
        with recording_target(react) as target:
            job_file = example("mixed.yaml", target.url, tmp_path, ("127.0.0.1:8001", f"127.0.0.1:{chat.port}"))
            outcome = await asyncio.to_thread(hyperscale, "run", job_file, "--json")
            seen = len(target.seen)
    assert outcome.code == 0, outcome
    metrics = outcome.last_json["metrics"]
    assert metrics["http_reqs"]["count"] == seen > 10
    assert metrics["ws_sessions"]["count"] == chat.sessions == seen / 2
