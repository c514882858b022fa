"""WebSocket steps against a server that counts what it gets."""

import asyncio
import ssl
import subprocess
import sys

import pytest
import trustme
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.integration.engine.web_servers import forward_proxy
from tests.support.listening import listening
from tests.support.waiting import timeout_seconds
from tests.support.websocket_server import websocket_server

Metrics = dict[str, dict[str, float]]


def workflow(*actions: object, url: str = "/echo", iterations: int = 1, vus: int = 1, **fields: object) -> object:
    session = {"url": url, "actions": list(actions), **fields}
    return {
        "name": "w",
        "steps": [{"name": "talk", "websocket": session}],
        "shared_iterations": {"vus": vus, "iterations": iterations},
    }


async def run(
    content: object, port: int, options: workflow_pb2.HttpOptions | None = None, scheme: str = "http"
) -> Outcome:
    async with running_engine() as engine:
        load = ParseDict(content, workflow_pb2.Workflow())  # type: ignore[arg-type]
        outcome = await engine.run(load, f"{scheme}://127.0.0.1:{port}", options=options)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome


def metrics(outcome: Outcome) -> Metrics:
    return metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)


def failures(outcome: Outcome) -> dict[str, int]:
    (calls,) = outcome.last.totals.steps[0].protocols
    return {pb.ErrorClass.Name(entry.error_class).removeprefix("ERROR_CLASS_"): entry.count for entry in calls.failures}


async def test_both_sides_count_the_same() -> None:
    actions = [
        {"send_text": "hello"},
        {"send_binary": "AAEC"},
        {"expect": {"contains": "lo"}},
        {"expect": {"messages": 1}},
        {"send_text": "order 7"},
        {"expect": {"matches": "order \\d"}},
    ]
    async with websocket_server() as server:
        load = workflow(
            *actions, url="/chat", iterations=30, vus=4, headers={"X-Who": "me"}, subprotocols=["a", "chat.v2"]
        )
        outcome = await run(load, server.port)
    assert server.sessions == server.closed_properly == 30
    assert len(server.received) == 90
    assert (server.received.count("hello"), server.received.count(b"\x00\x01\x02")) == (30, 30)
    assert {headers["X-Who"] for headers in server.headers} == {"me"}
    assert {headers["User-Agent"] for headers in server.headers} == {"hyperscale"}
    assert set(server.subprotocols) == {"chat.v2"}
    measured = metrics(outcome)
    assert measured["ws_sessions"]["count"] == measured["ws_reqs"]["count"] == 30
    assert measured["ws_msgs_sent"]["count"] == 90
    assert measured["ws_msgs_received"]["count"] == server.sent == 120
    assert measured["ws_req_failed"]["rate"] == 0
    assert 0 < measured["ws_connecting"]["max"] <= measured["ws_session_duration"]["max"]
    assert measured["data_sent"]["count"] == 30 * len("hello\0\1\2order 7")
    assert measured["data_received"]["count"] == 30 * len("welcomehello\0\1\2order 7")
    assert measured["iterations"]["count"] == 30
    assert "http_reqs" not in measured
    windows = sum(
        protocol.total_count for w in outcome.windows for step in w.stats.steps for protocol in step.protocols
    )
    assert windows == 30


@pytest.mark.parametrize(
    ("path", "failure", "opened"),
    [
        ("/refuse", "STATUS", 0),
        ("/drop", "RESET", 1),
        ("/leave", "RESET", 1),
        ("/silent", "TIMEOUT", 1),
        ("/flood", "TIMEOUT", 1),
        ("/huge", "PROTOCOL", 1),
    ],
)
async def test_sessions_that_go_wrong_say_how(path: str, failure: str, opened: int) -> None:
    actions = ({"send_text": "a"}, {"expect": {"contains": "never"}})
    load = workflow(*actions, url=path, iterations=2, timeout=f"{timeout_seconds(failure)}s")
    async with websocket_server() as server:
        outcome = await run(load, server.port)
        assert server.sessions == 2 * opened
    assert failures(outcome) == {failure: 2}
    measured = metrics(outcome)
    assert measured["ws_reqs"]["count"] == 2
    assert measured["ws_req_failed"] == {"rate": 1.0, "count": 2.0}
    assert measured.get("ws_sessions", {"count": 0})["count"] == 2 * opened
    assert measured.get("ws_msgs_sent", {"count": 0})["count"] == len(server.received)
    assert "ws_req_duration" not in measured


@pytest.mark.parametrize(("answer", "failure"), [(b"", "RESET"), (b"SSH-2.0\r\n\r\n", "PROTOCOL"), (None, "TIMEOUT")])
async def test_servers_that_do_not_speak_websocket(answer: bytes | None, failure: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is not None:
            writer.write(answer)
            writer.close()
        await reader.read()

    async with listening(serve) as port:
        outcome = await run(workflow(timeout=f"{timeout_seconds(failure)}s"), port)
    assert failures(outcome) == {failure: 1}


async def test_nobody_listens() -> None:
    outcome = await run(workflow(iterations=2), 1)
    assert failures(outcome) == {"CONNECT": 2}


async def test_the_end_of_the_run_interrupts_sessions() -> None:
    content = {
        "name": "w",
        "steps": [{"name": "talk", "websocket": {"url": "/silent", "actions": [{"expect": {"messages": 1}}]}}],
        "constant_vus": {"vus": 3, "duration": "0.5s"},
        "graceful_stop": "0s",
    }
    async with websocket_server() as server:
        outcome = await run(content, server.port)
        assert server.sessions == 3
    assert failures(outcome) == {"CANCELLED": 3}
    assert metrics(outcome)["ws_session_duration"]["min"] > 300
    assert outcome.elapsed_seconds < 20


async def test_tls_is_verified_with_the_certificates_of_the_job() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = workflow_pb2.HttpOptions(ca_certificates=authority.cert_pem.bytes().decode())
    load = workflow({"send_text": "a"}, {"expect": {"messages": 1}})
    async with websocket_server(context) as server:
        assert failures(await run(load, server.port, trusting, "https")) == {}
        assert failures(await run(load, server.port, scheme="https")) == {"TLS": 1}
        assert server.sessions == 1


async def test_sessions_go_through_the_proxy_of_the_job() -> None:
    load = workflow({"send_text": "a"}, {"expect": {"messages": 1}}, iterations=2)
    async with websocket_server() as server, forward_proxy() as proxy:
        options = workflow_pb2.HttpOptions(proxy=proxy.url)
        assert failures(await run(load, server.port, options)) == {}
        assert server.sessions == 2
        assert [line.split()[0] for line in proxy.lines] == ["CONNECT"] * 2


async def test_the_session_counts_from_when_it_was_due() -> None:
    content = {
        "name": "w",
        "steps": [{"name": "talk", "websocket": {"url": "/echo"}}],
        "constant_arrival_rate": {"rate": 20, "duration": "0.5s", "pre_allocated_vus": 4},
    }
    async with websocket_server() as server:
        outcome = await run(content, server.port)
    assert server.sessions == metrics(outcome)["ws_sessions"]["count"] == 10


def test_a_run_without_websocket_loads_no_library_for_it() -> None:
    code = "import sys, hyperscale.worker.engine.session; sys.exit('websockets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
