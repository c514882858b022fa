"""UDP steps against a server that counts what it gets."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.coded_flows import checks_of, coded, exceptions, failures_over
from tests.integration.engine.coded_flows import run as run_code
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.socket_servers import udp_server


async def run(udp: Mapping[str, object], **fields: object) -> tuple[Outcome, dict[str, dict[str, float]]]:
    named = {"name": "ask", "udp": udp, "checks": fields.pop("checks", []), "extract": fields.pop("extract", [])}
    load = {"name": "w", "steps": [named], "per_vu_iterations": {"vus": 1, "iterations": 1}, **fields}
    if "constant_vus" in load:
        del load["per_vu_iterations"]
    async with running_engine() as engine:
        outcome = await engine.run(ParseDict(load, workflow_pb2.Workflow()))
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome, metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)


async def test_both_sides_count_the_same() -> None:
    actions = [
        {"send_text": "user {{vu}} round {{iteration}}"},
        {"expect": {"contains": "user {{vu}} round"}},
        {"send_text": "twice"},
        {"expect": {"datagrams": 2}},
        {"send_binary": "AAEC"},
        {"expect": {"matches": "^\\x00"}},
    ]
    async with udp_server() as server:
        outcome, measured = await run(
            {"address": f"udp://127.0.0.1:{server.port}", "actions": actions},
            per_vu_iterations={"vus": 4, "iterations": 5},
            checks=[{"name": "last", "body_matches": "^\\x00\\x01\\x02$"}],
        )
    assert failures_over("udp", outcome) == {}
    assert checks_of(outcome) == {"last": (20, 0)}
    assert len(server.clients) == 20
    assert {b"user 1 round 0", b"user 4 round 4"} < set(server.datagrams)
    assert measured["udp_reqs"]["count"] == 20
    assert measured["udp_datagrams_sent"]["count"] == len(server.datagrams) == 60
    assert measured["udp_datagrams_received"]["count"] == server.sent == 80
    assert measured["data_sent"]["count"] == sum(map(len, server.datagrams))
    assert measured["udp_req_duration"]["max"] > 0


async def test_what_is_lost_fails_in_time_and_a_closed_port_at_once() -> None:
    ask = [{"send_text": "lost"}, {"expect": {"datagrams": 1}}]
    async with udp_server() as server:
        address = f"127.0.0.1:{server.port}"
        outcome, measured = await run({"address": address, "actions": ask, "timeout": "0.3s"})
        assert failures_over("udp", outcome) == {"TIMEOUT": 1}
        assert measured["udp_datagrams_sent"]["count"] == 1
        outcome, measured = await run({"address": address, "actions": ask[:1], "timeout": "0.3s"})
        assert failures_over("udp", outcome) == {}
    outcome, measured = await run({"address": address, "actions": ask})
    assert failures_over("udp", outcome) == {"CONNECT": 1}
    assert outcome.elapsed_seconds < 10


async def test_the_end_of_the_run_interrupts() -> None:
    async with udp_server() as server:
        outcome, _ = await run(
            {"address": f"127.0.0.1:{server.port}", "actions": [{"expect": {"datagrams": 1}}], "timeout": "60s"},
            constant_vus={"vus": 3, "duration": "0.3s"},
            graceful_stop="0s",
        )
    assert failures_over("udp", outcome) == {"CANCELLED": 3}
    assert outcome.elapsed_seconds < 10


def flood(server: socket.socket) -> None:
    """Send without a pause to whoever has asked first, for a second."""
    _, client = server.recvfrom(100)
    until = perf_counter() + 1
    while perf_counter() < until:
        with suppress(ConnectionRefusedError):
            server.sendto(b"x", client)


async def test_a_flood_costs_a_step_its_time_and_no_more() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        flooding = asyncio.create_task(asyncio.to_thread(flood, server))
        actions = [{"send_text": "a"}, {"expect": {"contains": "never"}}]
        address = f"127.0.0.1:{server.getsockname()[1]}"
        outcome, measured = await run({"address": address, "actions": actions, "timeout": "0.4s"})
        await flooding
    assert failures_over("udp", outcome) == {"TIMEOUT": 1}
    assert measured["udp_datagrams_received"]["count"] > 100
    assert outcome.elapsed_seconds < 10


CODE = """
class Flow(Workflow):
    @step()
    async def ask(self) -> None:
        async with self.udp.open("127.0.0.1:PORT") as socket:
            await socket.send("hello")
            self.check("text", await socket.receive() == b"hello")
            await socket.send(b"\\0\\1")
            self.check("bytes", await socket.receive(timeout_seconds=5) == b"\\0\\1")

    @step()
    async def lose(self) -> None:
        async with self.udp.open("udp://127.0.0.1:PORT", timeout_seconds=0.1) as socket:
            await socket.send("lost")
            await socket.receive()
"""


async def test_code_speaks_udp(tmp_path: Path) -> None:
    async with udp_server() as server, running_engine() as engine:
        start = coded(tmp_path, CODE.replace("PORT", str(server.port)), "ask", "lose", iterations=3)
        outcome = await run_code(engine, start)
    assert exceptions(outcome) == {}
    assert checks_of(outcome) == {"text": (3, 0), "bytes": (3, 0)}
    assert failures_over("udp", outcome) == {"TIMEOUT": 3}
    assert len(server.datagrams) == 9
