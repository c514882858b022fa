"""`self.grpc` in a real engine."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from tests.integration.engine.coded_flows import checks_of, coded, exceptions, failures_over, run
from tests.integration.engine.engine_process import Outcome, running_engine
from tests.support.grpc_shop import FILES, grpc_shop


async def flow(directory: Path, body: str, port: int, descriptor_set: bytes = b"") -> Outcome:
    start = coded(directory, body, "talk", iterations=2)
    start.workflow.descriptor_set = descriptor_set
    async with running_engine() as engine:
        return await run(engine, start, f"http://127.0.0.1:{port}")


KINDS = """
    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            placed = await self.grpc.unary("test.shop.v1.Shop/Place", {"item": "tea", "count": 2}, metadata={"x-a-bin": b"a"})
            self.check("unary", placed.message == {"totalCount": 2, "items": ["tea"]} and placed.status == 0)
            self.check("metadata", placed.metadata["x-shop"] == "open" and placed.metadata["x-stamp-bin"] == bytes([0, 1]))
            self.check("content", placed.content and placed.expected and placed.elapsed_seconds > 0)
            async with self.grpc.server_stream("test.shop.v1.Shop/Watch", {"item": "tea", "count": 3}) as stream:
                numbers = [message["totalCount"] async for message in stream]
            self.check("server stream", numbers == [0, 1, 2] and stream.status == 0)
            async with self.grpc.client_stream("test.shop.v1.Shop/Upload") as stream:
                for item in "abc":
                    await stream.send({"item": item})
                await stream.done()
                total = await stream.receive()
            self.check("client stream", total["totalCount"] == 3)
            async with self.grpc.bidi_stream("test.shop.v1.Shop/Talk") as stream:
                for item in "ab":
                    await stream.send({"item": item})
                    self.check("bidi stream", (await stream.receive())["items"] == [item])
                await stream.send({"item": "c"})
            self.check("the end of a block drops what is left", stream.status == 0)
"""


async def test_all_kinds(tmp_path: Path) -> None:
    async with grpc_shop() as shop:
        outcome = await flow(tmp_path, KINDS, shop.port)
    assert exceptions(outcome) == {}
    assert failures_over("grpc", outcome) == {}
    checks = checks_of(outcome)
    assert checks.pop("bidi stream") == (4, 0)
    assert len(checks) == 6
    assert set(checks.values()) == {(2, 0)}
    assert shop.calls == 8
    (calls,) = outcome.last.totals.steps[0].protocols
    assert calls.total_count == 8
    counted = {metric.name: metric.counter for metric in calls.metrics if metric.HasField("counter")}
    assert counted == {"grpc_streams": 6, "grpc_streams_msgs_sent": 14, "grpc_streams_msgs_received": 14}


FAILURES = """
    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            missing = await self.grpc.unary("test.shop.v1.Shop/Place", {"item": "nothing"})
            self.check("status", (missing.status, missing.details, missing.expected) == (5, "no such item", False))
            known = await self.grpc.unary("test.shop.v1.Shop/Place", {"item": "nothing"}, expected_statuses=[5])
            self.check("expected", known.expected)
            async with self.grpc.bidi_stream("test.shop.v1.Shop/Talk") as stream:
                await stream.send({"item": "nothing"})
                self.check("ends", await stream.receive() is None and stream.status == 5)
                self.check("takes no more", not await stream.send({"item": "tea"}))
            async with self.grpc.server_stream("test.shop.v1.Shop/Watch", {"item": "slow", "count": 3}) as stream:
                self.check("left early", await stream.receive() and stream.status is None)
            for method, message, failure in (
                ("Place", {"item": "slow"}, "timeout"),
                ("Place", {"itm": 1}, "request"),
                ("Nope", {}, "request"),
                ("Talk", {}, "request"),
            ):
                try:
                    await self.grpc.unary(f"test.shop.v1.Shop/{method}", message, timeout_seconds=0.3)
                except RequestError as error:
                    self.check("raises", error.error_class == failure)
            try:
                async with self.grpc.bidi_stream("test.shop.v1.Shop/Talk", timeout_seconds=0.3) as stream:
                    await stream.send({"item": "slow"})
                    await stream.receive()
            except RequestError as error:
                self.check("raises", error.error_class == "timeout")
            await self.grpc.unary("a.B/C", target="grpc://127.0.0.1:1")
"""


async def test_what_goes_wrong(tmp_path: Path) -> None:
    async with grpc_shop() as shop:
        outcome = await flow(tmp_path, FAILURES, shop.port)
    assert all("test.shop.v1.Shop" in text for text in exceptions(outcome))
    assert any("is called with `bidi_stream`" in text for text in exceptions(outcome))
    assert failures_over("grpc", outcome) == {"STATUS": 4, "TIMEOUT": 4, "REQUEST": 6, "CONNECT": 2}
    checks = checks_of(outcome)
    assert checks.pop("raises") == (10, 0)
    assert set(checks.values()) == {(2, 0)}
    assert [entry.address for entry in outcome.last.totals.unreachable] == ["127.0.0.1:1"]


GENERATED = """
    class Order:
        def SerializeToString(self):
            return b"\\\\x0a\\\\x03tea\\\\x10\\\\x02"

    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            placed = await self.grpc.unary("test.shop.v1.Shop/Place", Order())
            self.check("content", placed.content == b"\\\\x08\\\\x02\\\\x12\\\\x03tea")
            async with self.grpc.server_stream("test.shop.v1.Shop/Watch", Order()) as stream:
                await stream.send({})
"""


async def test_messages_of_generated_code_and_faults_of_the_code(tmp_path: Path) -> None:
    async with grpc_shop(reflects=False) as shop:
        outcome = await flow(tmp_path, GENERATED.replace("\\\\", "\\"), shop.port, FILES.SerializeToString())
    assert checks_of(outcome) == {"content": (2, 0)}
    (text,) = exceptions(outcome)
    assert "nothing can be sent: the client of test.shop.v1.Shop/Watch does not stream" in text
    assert failures_over("grpc", outcome) == {}
    assert failures_over("code", outcome) == {"EXCEPTION": 2}


CAUGHT = """
    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            async with self.grpc.server_stream(
                "test.shop.v1.Shop/Watch", {"item": "slow", "count": 3}, timeout_seconds=0.3
            ) as stream:
                try:
                    while await stream.receive():
                        continue
                except RequestError as error:
                    self.check("raises", error.error_class == "timeout")
"""


async def test_a_stream_that_broke_has_failed_though_the_code_goes_on(tmp_path: Path) -> None:
    async with grpc_shop() as shop:
        outcome = await flow(tmp_path, CAUGHT, shop.port)
    assert checks_of(outcome) == {"raises": (2, 0)}
    assert failures_over("grpc", outcome) == {"TIMEOUT": 2}


APART = """
    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            elsewhere = self.grpc.unary("a.B/C", target="grpc://127.0.0.1:{port}", timeout_seconds=3)
            asked = asyncio.ensure_future(elsewhere)
            await asyncio.sleep(0.5)
            await self.grpc.unary("test.shop.v1.Shop/Place", {{"item": "tea"}}, timeout_seconds=2)
            await asyncio.wait([asked])
            asked.exception()
"""


def reflecting(answers: Callable[[], AsyncIterator[bytes]]) -> grpc.GenericRpcHandler:
    """A reflection service that answers like this, whatever it is asked."""

    async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for piece in answers():
            yield piece

    handlers: dict[str, Any] = {"ServerReflectionInfo": grpc.unary_stream_rpc_method_handler(answer)}
    return grpc.method_handlers_generic_handler("grpc.reflection.v1.ServerReflection", handlers)


@asynccontextmanager
async def strange_reflection(answers: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[int]:
    """The port of a server with nothing but such a service."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((reflecting(answers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_a_server_that_does_not_describe_itself_keeps_nobody_from_another_one(tmp_path: Path) -> None:
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    async with grpc_shop() as shop, strange_reflection(silent) as port:
        outcome = await flow(tmp_path, APART.format(port=port), shop.port)
    assert shop.calls == 2
    assert failures_over("grpc", outcome) == {"TIMEOUT": 2}


async def test_a_server_that_describes_itself_without_end_is_not_listened_to(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"\x0a" + b"\xff\xff\x3f" + bytes(2**20 - 1)

    async with grpc_shop() as shop, strange_reflection(endless) as port:
        outcome = await flow(tmp_path, APART.format(port=port), shop.port)
    assert shop.calls == 2
    assert failures_over("grpc", outcome) == {"REQUEST": 2}
    assert any("answers without end" in text for text in exceptions(outcome))


EVER_NEW = """
    class Flow(Workflow):
        @step()
        async def talk(self) -> None:
            for port in range(1, 1002):
                with suppress(RequestError):
                    await self.grpc.unary("a.B/C", target=f"grpc://127.1.2.3:{port}")
"""


async def test_code_that_calls_ever_new_servers_does_not_use_up_the_engine(tmp_path: Path) -> None:
    start = coded(tmp_path, "from contextlib import suppress\n" + textwrap.dedent(EVER_NEW), "talk")
    async with running_engine() as engine:
        outcome = await run(engine, start)
    assert failures_over("grpc", outcome) == {"CONNECT": 1000, "REQUEST": 1}
    assert any("the run go to 1,000 targets" in text for text in exceptions(outcome))
