"""The examples of other protocols through the whole suite, each against a real server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.http2_servers import Reply, http2_web, site
from tests.integration.engine.web_servers import Asked
from tests.support.examples import EXAMPLES, example
from tests.support.graphql_shop import graphql_shop
from tests.support.local_cluster import LocalCluster
from tests.support.recording_target import Reaction, SeenRequest, recording_target
from tests.support.socket_servers import tcp_server, udp_server
from tests.support.target import BundledTarget
from tests.support.websocket_server import websocket_server

ADDRESS = "http://127.0.0.1:8000"
"""The target that examples name."""


async def run(cluster: LocalCluster, job_file: Path) -> dict[str, Any]:
    """The result of a job, while servers of the test's own event loop answer it."""
    return await asyncio.to_thread(cluster.completed, job_file)


@pytest.mark.parametrize("name", ["tcp_udp.yaml", "coded_sockets.py"])
async def test_the_examples_of_sockets(name: str, cluster: LocalCluster, tmp_path: Path) -> None:
    async with tcp_server() as tcp, udp_server() as udp:
        ports = [("127.0.0.1:7001", f"127.0.0.1:{tcp.port}"), ("127.0.0.1:7002", f"127.0.0.1:{udp.port}")]
        result = await run(cluster, example(name, tmp_path, *ports))
        writes, datagrams, connections = len(tcp.lines), len(udp.datagrams), tcp.connections
    assert result["verdict"] == "passed"
    assert result["metrics"]["tcp_writes"]["count"] == writes > 30
    assert result["metrics"]["tcp_sockets"]["count"] == connections
    assert result["metrics"]["udp_datagrams_sent"]["count"] == datagrams > 30


async def test_the_coded_websocket_example(cluster: LocalCluster, tmp_path: Path) -> None:
    async with websocket_server() as server:
        job_file = example("coded_websocket.py", tmp_path, (ADDRESS, f"http://127.0.0.1:{server.port}"))
        result = await run(cluster, job_file)
        sessions, received = server.sessions, len(server.received)
    metrics = result["metrics"]
    assert metrics["ws_sessions"]["count"] == sessions > 10
    assert metrics["ws_msgs_sent"]["count"] == metrics["chat_messages"]["count"] == received


@pytest.mark.parametrize("name", ["graphql.yaml", "coded_graphql.py"])
def test_the_graphql_examples(name: str, cluster: LocalCluster) -> None:
    with recording_target(graphql_shop()) as target:
        outcome = cluster.watch(EXAMPLES / name, "--target", target.url)
        seen = len(target.seen)
    assert outcome.code == 0, outcome
    assert "verdict: passed" in outcome.out
    assert "✓ status: is ordered" in outcome.out
    assert seen > 10


async def test_the_websocket_example(cluster: LocalCluster, tmp_path: Path) -> None:
    async with websocket_server() as server:
        job_file = example("websocket.yaml", tmp_path, (ADDRESS, f"http://127.0.0.1:{server.port}"))
        result = await run(cluster, job_file)
        sessions, received, sent = server.sessions, len(server.received), server.sent
    assert result["verdict"] == "passed"
    assert result["metrics"]["ws_sessions"]["count"] == sessions > 10
    assert result["metrics"]["ws_msgs_sent"]["count"] == received
    assert result["metrics"]["ws_msgs_received"]["count"] == sent


@pytest.mark.parametrize("name", ["grpc.yaml", "coded_grpc.py"])
def test_the_grpc_examples(name: str, cluster: LocalCluster, target: BundledTarget) -> None:
    before = target.requests()
    result = cluster.completed(EXAMPLES / name, "--target", target.url)
    assert result["verdict"] == "passed"
    assert result["metrics"]["grpc_reqs"]["count"] == target.requests() - before
    assert result["metrics"]["grpc_reqs"]["count"] > result["metrics"]["grpc_streams"]["count"] > 30
    assert result["errors"] == {}


async def test_the_http2_example(cluster: LocalCluster, tmp_path: Path) -> None:
    async with http2_web(site(_shop)) as server:
        job_file = example("http2.yaml", tmp_path, (ADDRESS, server.url))
        result = await run(cluster, job_file)
        asked = len(server.asked)
    assert result["metrics"]["http_reqs"]["count"] == asked > 10


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


async def test_the_example_of_mixed_protocols(cluster: LocalCluster, tmp_path: Path) -> None:
    def react(request: SeenRequest) -> Reaction:
        if request.path == "/login":
            return Reaction({"token": f"t-{json.loads(request.body)['user']}"})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return Reaction({"noted": json.loads(request.body)["heard"] == token})

    async with websocket_server() as chat:
        with recording_target(react) as target:
            job_file = example(
                "mixed.yaml", tmp_path, (ADDRESS, target.url), ("127.0.0.1:8001", f"127.0.0.1:{chat.port}")
            )
            result = await run(cluster, job_file)
            seen = len(target.seen)
    metrics = result["metrics"]
    assert metrics["http_reqs"]["count"] == seen > 10
    assert metrics["ws_sessions"]["count"] == chat.sessions == seen / 2
