"""TCP steps against servers that count what they get, and against servers that misbehave."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import trustme
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.coded_flows import checks_of, coded, exceptions, failures_over
from tests.integration.engine.coded_flows import run as run_code
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.listening import Serve
from tests.support.socket_servers import tcp_server
from tests.support.waiting import timeout_seconds

LINE = {"read": {"delimiter": "\n"}}


def step(port: int, *actions: object, scheme: str = "", **fields: object) -> dict[str, object]:
    return {"address": f"{scheme}127.0.0.1:{port}", "actions": list(actions), **fields}


async def run(
    tcp: Mapping[str, object], options: workflow_pb2.HttpOptions | None = None, **fields: object
) -> tuple[Outcome, dict[str, dict[str, float]]]:
    named = {"name": "talk", "tcp": tcp, "checks": fields.pop("checks", []), "extract": fields.pop("extract", [])}
    load = {"name": "w", "steps": [named], "per_vu_iterations": {"vus": 1, "iterations": 1}, **fields}
    if "constant_vus" in load or "constant_arrival_rate" in load:
        del load["per_vu_iterations"]
    async with running_engine() as engine:
        outcome = await engine.run(ParseDict(load, workflow_pb2.Workflow()), options=options)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED, outcome.last.error
    return outcome, metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)


async def test_both_sides_count_the_same() -> None:
    hello = json.dumps({"iteration": "{{iteration}}", "id": 7}) + "\n"
    async with tcp_server() as server:
        actions = [{"send_text": hello}, LINE, {"send_binary": "AAEK"}, {"read": {"bytes": 2}}, {"read": {"bytes": 1}}]
        outcome, measured = await run(
            step(server.port, *actions),
            per_vu_iterations={"vus": 4, "iterations": 5},
            checks=[{"name": "echoes", "body_matches": r'^\{"iteration": "\d", "id": 7\}\n'}],
            extract=[{"variable": "id", "regex": {"pattern": r'"id": (\d)'}}],
        )
    assert server.connections == server.ended_properly == 20
    assert len(server.lines) == 40
    assert server.lines.count(b"\0\1\n") == 20
    assert checks_of(outcome) == {"echoes": (20, 0)}
    assert measured["tcp_reqs"]["count"] == measured["tcp_sockets"]["count"] == 20
    assert measured["tcp_writes"]["count"] == 40
    assert measured["tcp_reads"]["count"] == 60
    assert measured["tcp_req_failed"]["rate"] == 0
    assert measured["data_sent"]["count"] == measured["data_received"]["count"] == sum(map(len, server.lines))
    assert 0 < measured["tcp_socket_connecting"]["max"] <= measured["tcp_req_duration"]["max"]


async def test_a_connection_can_be_kept_and_is_replaced_when_the_peer_has_closed_it() -> None:
    async with tcp_server() as server:
        kept = step(server.port, {"send_text": "a\n"}, LINE, keep_open=True)
        _, measured = await run(kept, per_vu_iterations={"vus": 2, "iterations": 10})
        assert (server.connections, len(server.lines)) == (2, 20)
        assert measured["tcp_sockets"]["count"] == 2
        assert measured["tcp_reqs"]["count"] == 20
        ended = step(server.port, {"send_text": "bye\n"}, LINE, {"read": {"close": True}}, keep_open=True)
        outcome, _ = await run(ended, per_vu_iterations={"vus": 1, "iterations": 3})
    assert failures_over("tcp", outcome) == {}
    assert server.connections == 5


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"half")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.transport.abort()


MISBEHAVING: Mapping[str, tuple[Serve, Mapping[str, object], str]] = {
    "drips": (drip, {"delimiter": "\n"}, "TIMEOUT"),
    "floods": (flood, {"delimiter": "\n"}, "TIMEOUT"),
    "never-ends": (flood, {"close": True}, "TIMEOUT"),
    "is-silent": (swallow, {"bytes": 1}, "TIMEOUT"),
    "leaves": (leave, {"bytes": 5}, "RESET"),
    "resets": (reset, {"delimiter": "\n"}, "RESET"),
}


async def test_peers_that_misbehave_cost_a_step_its_time_and_no_more() -> None:
    async with AsyncExitStack() as servers, running_engine() as engine:
        steps = []
        for name, (serve, read, failure) in MISBEHAVING.items():
            server = await servers.enter_async_context(tcp_server(serve))
            tcp = step(server.port, {"send_text": "a\n"}, {"read": read}, timeout=f"{timeout_seconds(failure)}s")
            steps.append({"name": name, "tcp": tcp, "checks": [{"name": "never", "body_contains": "x"}]})
        load = {"name": "w", "steps": steps, "per_vu_iterations": {"vus": 1, "iterations": 1}}
        outcome = await engine.run(ParseDict(load, workflow_pb2.Workflow()))
    calls = {entry.step_name: entry for entry in outcome.last.totals.steps}
    found = {name: [f.error_class for f in entry.protocols[0].failures] for name, entry in calls.items()}
    expected = {name: pb.ErrorClass.Value(f"ERROR_CLASS_{failure}") for name, (_, _, failure) in MISBEHAVING.items()}
    assert found == {name: [failure] for name, failure in expected.items()}
    assert all((entry.checks[0].passes, entry.checks[0].fails) == (0, 1) for entry in calls.values())
    assert outcome.elapsed_seconds < 20


async def test_what_is_sent_to_a_peer_that_does_not_read_ends_in_time() -> None:
    async with tcp_server(swallow) as server:
        outcome, _ = await run(
            step(server.port, {"send_text": "x" * 700_000}, *[{"send_text": "y" * 700_000}] * 10, timeout="0.4s")
        )
    assert failures_over("tcp", outcome) == {"TIMEOUT": 1}


async def test_only_the_beginning_of_much_is_kept() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(30):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        writer.write(b"END\n")

    async with tcp_server(pour) as server:
        checks = [{"name": "begins", "body_contains": "xxx"}, {"name": "ends", "body_contains": "END"}]
        outcome, measured = await run(step(server.port, {"read": {"delimiter": "END"}}), checks=checks)
    assert failures_over("tcp", outcome) == {}
    assert checks_of(outcome) == {"begins": (1, 0), "ends": (0, 1)}
    assert measured["data_received"]["count"] == 30_000_004


async def test_tls_is_verified_with_the_certificates_of_the_job() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = workflow_pb2.HttpOptions(ca_certificates=authority.cert_pem.bytes().decode())
    async with tcp_server(tls=context) as server:
        talk = step(server.port, {"send_text": "a\n"}, LINE, scheme="tls://")
        outcome, _ = await run(talk, trusting, per_vu_iterations={"vus": 1, "iterations": 3})
        assert failures_over("tcp", outcome) == {}
        assert server.lines == [b"a\n"] * 3
        outcome, _ = await run(talk)
        assert failures_over("tcp", outcome) == {"TLS": 1}


async def test_nobody_listens_and_a_name_that_is_none() -> None:
    outcome, _ = await run(step(1))
    assert failures_over("tcp", outcome) == {"CONNECT": 1}
    outcome, _ = await run({"address": "nobody.invalid:7"})
    assert failures_over("tcp", outcome) == {"DNS": 1}


async def test_the_end_of_the_run_interrupts_and_calls_count_from_when_they_were_due() -> None:
    async with tcp_server(swallow) as server:
        silent = step(server.port, {"read": {"bytes": 1}})
        outcome, _ = await run(silent, constant_vus={"vus": 3, "duration": "0.3s"}, graceful_stop="0s")
        assert failures_over("tcp", outcome) == {"CANCELLED": 3}
        assert outcome.elapsed_seconds < 20
    async with tcp_server() as server:
        rate = {"rate": 20, "duration": "0.5s", "pre_allocated_vus": 4}
        outcome, measured = await run(step(server.port, {"send_text": "a\n"}, LINE), constant_arrival_rate=rate)
        assert len(server.lines) == measured["tcp_reqs"]["count"]
        assert len(server.lines) + outcome.last.totals.dropped_iterations == 10


CODE = """
class Flow(Workflow):
    @step()
    async def talk(self) -> None:
        async with self.tcp.connect("127.0.0.1:PORT", keep_open=True, timeout_seconds=5) as connection:
            await connection.send("hello\\n")
            self.check("line", await connection.read_until("\\n") == b"hello\\n")
            await connection.send(b"\\0\\1\\n")
            self.check("bytes", await connection.read(3) == b"\\0\\1\\n")

    @step()
    async def late(self) -> None:
        async with self.tcp.connect("127.0.0.1:PORT", keep_open=True, timeout_seconds=0.1) as connection:
            try:
                await connection.read(1)
            except RequestError as error:
                self.check("late", error.error_class == "timeout")

    @step()
    async def end(self) -> None:
        async with self.tcp.connect("tcp://127.0.0.1:PORT") as connection:
            await connection.send("bye\\n")
            self.check("end", await connection.read_to_end() == b"bye\\n")

    @step()
    async def much(self) -> None:
        async with self.tcp.connect("127.0.0.1:PORT", most_read_bytes=10) as connection:
            await connection.send("more than ten\\n")
            await connection.read_until("\\n")
"""


async def test_code_speaks_tcp(tmp_path: Path) -> None:
    steps = ("talk", "late", "end", "much")
    async with tcp_server() as server, running_engine() as engine:
        start = coded(tmp_path, CODE.replace("PORT", str(server.port)), *steps, iterations=3)
        outcome = await run_code(engine, start)
    assert exceptions(outcome) == {}
    assert checks_of(outcome) == dict.fromkeys(("line", "bytes", "late", "end"), (3, 0))
    assert failures_over("tcp", outcome) == {"PROTOCOL": 3}
    # The one that was kept is not after a read that came to nothing.
    assert server.connections == 9
