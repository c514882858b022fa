"""Code that speaks WebSocket: `self.ws`."""

from pathlib import Path

from hyperscale.workload.metrics import metrics_of
from hyperscale.workload.statistics import WorkflowStatistics
from tests.integration.engine.coded_flows import checks_of, coded, exceptions, failures_over, run
from tests.integration.engine.engine_process import running_engine
from tests.support.websocket_server import websocket_server

CHAT = """
class Flow(Workflow):
    @step()
    async def talk(self) -> None:
        async with self.ws.connect("/chat", headers={"X-Who": "me"}, subprotocols=["a", "chat.v2"]) as socket:
            self.check("chose", socket.subprotocol == "chat.v2")
            self.check("greets", await socket.receive() == "welcome")
            await socket.send("hello")
            self.check("answers", await socket.receive() == "hello")
            await socket.send(b"\\0\\1")
            self.check("bytes stay bytes", await socket.receive(timeout_seconds=5) == b"\\0\\1")
"""

TROUBLE = """
class Flow(Workflow):
    @step()
    async def refused(self) -> None:
        try:
            async with self.ws.connect("/refuse"):
                self.check("never", True)
        except RequestError as error:
            self.check("says why", error.error_class == "status")

    @step()
    async def silent(self) -> None:
        async with self.ws.connect("/silent") as socket:
            try:
                await socket.receive(timeout_seconds=0.1)
            except RequestError as error:
                self.check("takes too long", error.error_class == "timeout")

    @step()
    async def dropped(self) -> None:
        async with self.ws.connect("/drop") as socket:
            await socket.send("a")
            await socket.receive()
"""

MISTAKE = """
class Flow(Workflow):
    @step()
    async def mistaken(self) -> None:
        async with self.ws.connect("/echo"):
            raise KeyError("mine")
"""


async def test_code_and_server_see_the_same_session(tmp_path: Path) -> None:
    async with websocket_server() as server, running_engine() as engine:
        outcome = await run(
            engine, coded(tmp_path, CHAT, "talk", iterations=20, vus=4), f"http://127.0.0.1:{server.port}"
        )
    assert exceptions(outcome) == {}
    assert checks_of(outcome) == dict.fromkeys(("chose", "greets", "answers", "bytes stay bytes"), (20, 0))
    assert server.sessions == server.closed_properly == 20
    assert {headers["X-Who"] for headers in server.headers} == {"me"}
    measured = metrics_of([WorkflowStatistics.from_proto(outcome.last.totals)], 1.0)
    assert measured["ws_sessions"]["count"] == measured["ws_reqs"]["count"] == 20
    assert measured["ws_msgs_sent"]["count"] == len(server.received) == 40
    assert measured["ws_msgs_received"]["count"] == server.sent == 60
    assert measured["ws_req_failed"]["rate"] == 0


async def test_code_is_told_what_went_wrong_and_its_own_faults_are_not_those_of_the_session(tmp_path: Path) -> None:
    async with websocket_server() as server, running_engine() as engine:
        target = f"http://127.0.0.1:{server.port}"
        outcome = await run(engine, coded(tmp_path, TROUBLE, "refused", "silent", "dropped"), target)
        assert checks_of(outcome) == {"says why": (1, 0), "takes too long": (1, 0)}
        assert failures_over("ws", outcome) == {"STATUS": 1, "RESET": 1}
        assert exceptions(outcome) == {}
        outcome = await run(engine, coded(tmp_path, MISTAKE, "mistaken"), target)
    assert exceptions(outcome) == {"job.py:8: KeyError: 'mine'": 1}
    assert (failures_over("ws", outcome), failures_over("code", outcome)) == ({}, {"EXCEPTION": 1})
