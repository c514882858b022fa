"""One workflow that speaks every protocol, each with a real server, which has to count what the result says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.graphql_shop import graphql_shop
from tests.support.grpc_shop import SERVICE, grpc_shop
from tests.support.local_cluster import LocalCluster
from tests.support.nginx import Nginx, running_nginx
from tests.support.recording_target import RecordingTarget, recording_target
from tests.support.socket_servers import tcp_server, udp_server
from tests.support.websocket_server import websocket_server

ITERATIONS = 30
HELLO = [{"name": "greets", "body_contains": "hello"}]


HEARD = {"variable": "heard", "regex": {"pattern": "hello"}}
SAID = {"variable": "said", "regex": {"pattern": ".*"}}
LINE = {"variable": "line", "regex": {"pattern": "(.*)\n"}}

Step = dict[str, Any]


def requests(nginx: Nginx, shop: RecordingTarget) -> list[Step]:
    order = {"url": f"{shop.url}/graphql", "query": "mutation { order(item: 1) { number } }"}
    return [
        {"name": "http-1", "http": {"url": f"{nginx.url}/a"}, "checks": HELLO, "extract": [HEARD]},
        {"name": "http-2", "http": {"url": f"{nginx.http2_url}/b", "version": "http_2"}, "checks": HELLO},
        {"name": "graphql", "graphql": order, "checks": [{"name": "orders", "json": {"path": "$.data.order.number"}}]},
    ]


def conversations(chat_port: int, lines_port: int, datagrams_port: int, orders_port: int) -> list[Step]:
    """What was heard over HTTP is passed on from one protocol to the next."""
    chat = {
        "url": f"ws://127.0.0.1:{chat_port}/echo",
        "actions": [{"send_text": "{{heard}} {{uuid}}"}, {"expect": {"messages": 1}}],
    }
    tcp = {
        "address": f"tcp://127.0.0.1:{lines_port}",
        "actions": [{"send_text": "{{said}}\n"}, {"read": {"delimiter": "\n"}}],
    }
    udp = {
        "address": f"127.0.0.1:{datagrams_port}",
        "actions": [{"send_text": "{{line}}"}, {"expect": {"contains": "{{said}}"}}],
    }
    grpc = {
        "target": f"grpc://127.0.0.1:{orders_port}",
        "method": f"{SERVICE}/Place",
        "request": {"item": "{{line}}"},
    }
    return [
        {"name": "websocket", "websocket": chat, "checks": HELLO, "extract": [SAID]},
        {"name": "tcp", "tcp": tcp, "checks": HELLO, "extract": [LINE]},
        {"name": "udp", "udp": udp, "checks": HELLO},
        {"name": "grpc", "grpc": grpc, "checks": [{"name": "is placed", "status": {"any_of": [0]}}, *HELLO]},
    ]


@pytest.mark.requirement("WORK.6")
async def test_a_workflow_speaks_every_protocol_and_every_server_counts_the_same(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    with running_nginx() as nginx, recording_target(graphql_shop()) as shop:
        async with websocket_server() as chat, tcp_server() as lines, udp_server() as datagrams, grpc_shop() as orders:
            steps = requests(nginx, shop) + conversations(chat.port, lines.port, datagrams.port, orders.port)
            load = {"name": "all", "shared_iterations": {"vus": 3, "iterations": ITERATIONS}, "steps": steps}
            thresholds = [{"metric": "checks", "expression": "rate == 100%"}]
            fields = {"timeout": "1m", "datacenters": {"required": ["dc-1"]}}
            file.write_text(json.dumps({"workflows": [load], "thresholds": thresholds, **fields}))
            result = await asyncio.to_thread(cluster.completed, file)
        metrics = result["metrics"]
        assert nginx.requests() == 2 * ITERATIONS
        assert len(shop.seen) == ITERATIONS
    assert metrics["http_reqs"]["count"] == 3 * ITERATIONS
    assert metrics["ws_sessions"]["count"] == chat.sessions == ITERATIONS
    assert metrics["tcp_reqs"]["count"] == len(lines.lines) == ITERATIONS
    assert metrics["udp_reqs"]["count"] == len(datagrams.datagrams) == ITERATIONS
    assert metrics["grpc_reqs"]["count"] == len(orders.orders) == ITERATIONS
    assert set(orders.orders) == set(chat.received) == {line.decode().strip() for line in lines.lines}
