"""Coded workflows in a real engine: what they do, what is counted of it, and what their errors come to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import duration_pb2

from hyperscale.v1 import progress_pb2, script_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1.job_pb2 import ContextValue
from tests.integration.engine.coded_flows import checks_of, coded, exceptions, run
from tests.integration.engine.engine_process import Outcome, constant_vus, new_engine, running_engine
from tests.integration.engine.hostile_servers import hostile_server, sends, waits_for
from tests.support.recording_target import recording_target
from tests.support.target import BundledTarget, bundled_target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def target() -> Iterator[BundledTarget]:
    with bundled_target() as running:
        yield running


def code_failures(outcome: Outcome) -> int:
    return sum(
        failure.count
        for step in outcome.last.totals.steps
        for protocol in step.protocols
        if protocol.protocol == "code"
        for failure in protocol.failures
        if failure.error_class == pb.ERROR_CLASS_EXCEPTION
    )


EVERYTHING = """
class Flow(Workflow):
    orders = Metric.counter("orders")
    found = Metric.rate("found")
    basket = Metric.trend("basket")
    level = Metric.gauge("level")
    count = 0

    @step()
    async def login(self) -> None:
        response = await self.http.post("/login", json={"user": "ann"}, headers={"X-A": "b"})
        self.token = response.json()["token"]
        self.check("is JSON", response.headers["content-type"] == "application/json")

    @step("login")
    async def me(self) -> Metric:
        me = await self.http.get("/me", headers={"Authorization": f"Bearer {self.token}"})
        self.check("knows ann", me.json() == {"user": "ann"})
        echoed = await self.http.put("/echo", data="grün", timeout_seconds=5)
        self.check("echoes", echoed.text() == "grün" and echoed.elapsed_seconds > 0)
        nothing = await self.http.get("/status/404", expected_statuses=[404])
        self.check("404 is expected", nothing.expected and nothing.status == 404)
        head = await self.http.head("/items")
        self.check("no body", head.content == b"")
        self.count += 1
        self.provide("count", {"count": self.count, "given": self.use("given")})
        self.found.add(self.count > 2)
        self.basket.add(self.count)
        self.level.add(-self.count)
        return self.orders.add(3)
"""


@pytest.mark.requirement("WORK.5")
async def test_steps_talk_http_check_measure_and_provide(target: BundledTarget, tmp_path: Path) -> None:
    start = coded(tmp_path, EVERYTHING, "login", "me", iterations=4)
    start.context.append(ContextValue(name="given", json='["x"]'))
    before = target.requests()
    async with running_engine() as engine:
        outcome = await run(engine, start, target.url)
    totals = outcome.last.totals
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert exceptions(outcome) == {}
    assert (outcome.total, outcome.failures) == (20, {})
    assert target.requests() - before == 20
    assert [step.total_count for step in totals.steps] == [4, 16]
    checks = {check.name: (check.passes, check.fails) for step in totals.steps for check in step.checks}
    names = ("is JSON", "knows ann", "echoes", "404 is expected", "no body")
    assert checks == dict.fromkeys(names, (4, 0))
    metrics = {metric.name: metric for metric in totals.custom_metrics}
    assert metrics["orders"].counter == 12
    assert (metrics["found"].rate.matching, metrics["found"].rate.total) == (2, 4)
    assert (metrics["basket"].trend.sum, metrics["basket"].trend.max) == (10, 4)
    assert (metrics["level"].gauge.value, metrics["level"].gauge.min, metrics["level"].gauge.max) == (-4, -4, -1)
    (provided,) = outcome.last.provided
    assert json.loads(provided.json) == {"count": 4, "given": ["x"]}


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("return 7", "step 'only' returned int; a step returns None or a Metric"),
        ("await asyncio.sleep(60)", "step 'only' took longer than 0.2 s"),
        ("import sys; sys.exit(1)", "SystemExit: 1"),
        ("self.use('nothing')", "neither setup nor a workflow that this one depends on has provided 'nothing'"),
        ("self.provide('big', 'x' * 1048576)", "all values together have at most 1,048,576 bytes"),
        ("self.provide('bad', {1j})", "it is not JSON"),
        ("Metric.counter('m').add(-1)", "metric m: takes a whole number from 0"),
        (
            "[self.check(f'check {n}', True) for n in range(101)]",
            "check 'check 100': a step has at most 100 names of checks",
        ),
        ("self.check('x' * 201, True)", "of at most 200 characters"),
        ("await self.http.get('ftp://x')", "there is no target"),
    ],
)
async def test_errors_of_a_step_are_counted_and_told_and_the_run_goes_on(tmp_path: Path, step: str, told: str) -> None:
    body = f"""
    class Flow(Workflow):
        timeout_seconds = 0.2
        @step()
        async def only(self):
            {step}
        @step("only")
        async def never(self):
            self.check("got here", True)
    """
    start = coded(tmp_path, body, "only", "never", iterations=3)
    async with running_engine() as engine:
        outcome = await run(engine, start)
        assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
        assert code_failures(outcome) == 3
        assert outcome.last.totals.iterations == 3
        (text,) = exceptions(outcome)
        assert told in text
        assert text.startswith(("job.py:8: ", "job.py:6: ")), "the line, or the step when no line is to blame"
        assert exceptions(outcome)[text] == 3
        assert not outcome.last.totals.steps[1].checks
        again = await run(engine, coded(tmp_path, GOOD, "only"))
        assert again.last.status == progress_pb2.SHARD_STATUS_COMPLETED


GOOD = """
class Flow(Workflow):
    @step()
    async def only(self): ...
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import no_such_module_here", "job.py:3: ModuleNotFoundError"),
        ("raise RuntimeError('top')", "job.py:3: RuntimeError: top"),
        ("x = 1", "no class Flow that is based on Workflow"),
        ("class Flow(Workflow):\n    @step('x')\n    async def only(self): ...", "comes after 'x'"),
        ("class Flow(Workflow):\n    @step()\n    async def other(self): ...", "has the steps other"),
        (
            "class Flow(Workflow):\n    def __init__(self): self.x = {}['y']\n    @step()\n    async def only(self): ...",
            "job.py:4: KeyError: 'y'",
        ),
    ],
)
async def test_code_that_cannot_be_loaded_fails_the_run_and_not_the_engine(
    tmp_path: Path, body: str, told: str
) -> None:
    async with running_engine() as engine:
        outcome = await run(engine, coded(tmp_path, body, "only"))
        assert outcome.last.status == progress_pb2.SHARD_STATUS_FAILED
        assert told in outcome.last.error
        again = await run(engine, coded(tmp_path, GOOD, "only"))
        assert again.last.status == progress_pb2.SHARD_STATUS_COMPLETED


async def test_a_request_that_fails_raises_once_and_is_counted_once(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def caught(self) -> None:
            try:
                await self.http.get("/", timeout_seconds=0.2)
            except RequestError as error:
                self.check("timed out", error.error_class == "timeout")
        @step()
        async def passed_on(self) -> None:
            await self.http.get("http://127.0.0.1:1/")
    """
    async with hostile_server(waits_for(60, OK)) as server, running_engine() as engine:
        outcome = await run(engine, coded(tmp_path, body, "caught", "passed_on", iterations=2), server.url)
    assert outcome.failures == {"TIMEOUT": 2, "CONNECT": 2}
    assert (outcome.total, code_failures(outcome), exceptions(outcome)) == (4, 0, {})
    assert [check.passes for check in outcome.last.totals.steps[0].checks] == [2]


async def test_requests_at_the_same_time_take_turns(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def only(self) -> None:
            responses = await asyncio.gather(*(self.http.get(f"/{n}") for n in range(5)))
            self.check("all", [response.text() for response in responses] == ["ok"] * 5)
    """
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        outcome = await run(engine, coded(tmp_path, body, "only", iterations=2), server.url)
    assert (outcome.total, outcome.failures, exceptions(outcome)) == (10, {}, {})
    assert (server.requests, server.connections) == (10, 1)


async def test_an_interrupted_user_counts_its_request_as_cancelled(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def only(self) -> None:
            await self.http.get("/")
    """
    async with hostile_server(waits_for(60, OK)) as server, running_engine() as engine:
        start = coded(tmp_path, body, "only")
        start.workflow.CopyFrom(constant_vus(workflow_pb2.Step(name="only"), vus=3, seconds=0.5, graceful=0.2))
        start.workflow.class_name = "Flow"
        outcome = await run(engine, start, server.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert (outcome.total, outcome.failures, exceptions(outcome)) == (3, {"CANCELLED": 3}, {})


async def test_a_step_that_refuses_to_end_fails_the_run_with_its_place_and_ends_the_engine(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def only(self) -> None:
            await self.http.get("/")
            while True:
                try:
                    await asyncio.sleep(60)
                except BaseException:
                    pass
    """
    async with hostile_server(sends(OK)) as server, new_engine() as engine:
        start = coded(tmp_path, body, "only")
        start.workflow.CopyFrom(constant_vus(workflow_pb2.Step(name="only"), vus=2, seconds=0.2, graceful=0.1))
        start.workflow.class_name = "Flow"
        outcome = await run(engine, start, server.url)
        assert await engine.reader.read() == b"", "whoever runs the engine learns that it is gone"
    assert outcome.last.status == progress_pb2.SHARD_STATUS_FAILED
    assert outcome.last.error == "2 of its users did not end within 3 s after they were interrupted"
    assert (outcome.total, code_failures(outcome)) == (2, 2), "what was counted is kept"
    assert list(exceptions(outcome).values()) == [2]
    assert next(iter(exceptions(outcome))).startswith("job.py:10: the step goes on although it was interrupted")


async def test_calls_that_are_not_awaited_are_told(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def first(self) -> None:
            await asyncio.sleep(0)
        @step("first")
        async def second(self) -> None:
            self.http.get("/")
            self.check("goes on", True)
    """
    async with hostile_server(sends(OK)) as server, running_engine() as engine:
        outcome = await run(engine, coded(tmp_path, body, "first", "second", iterations=3, vus=2), server.url)
    (sample,) = outcome.last.totals.error_samples
    assert (sample.step_name, sample.count) == ("second", 3)
    assert sample.text == "job.py:10: this call was never awaited, so that it did nothing; write await before it"
    assert (code_failures(outcome), server.requests) == (3, 0)
    assert checks_of(outcome) == {"goes on": (3, 0)}


async def test_feeds_give_each_iteration_its_row_and_end_users_when_they_are_used_up(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        kept = Feed("kept.csv", pace=FeedPace.USER)
        user = Feed("users.csv", mode=FeedMode.UNIQUE)
        @step()
        async def only(self) -> None:
            first = self.__dict__.setdefault("first", self.kept["id"])
            self.check("is kept", first == self.kept["id"])
            await self.http.get(f"/{self.user['name']}/{self.variables['shop']}/{self.variables.get('none', '-')}")
    """
    start = coded(tmp_path, body, "only", iterations=9, vus=2)
    start.variables["shop"] = "7"
    start.workflow.feeds.add(name="user", csv="name\na\nb\nc\n", mode=script_pb2.FEED_MODE_UNIQUE)
    start.workflow.feeds.add(name="kept", csv="id\n1\n2\n3\n", pace=script_pb2.FEED_PACE_USER)
    with recording_target() as server:
        async with running_engine() as engine:
            outcome = await run(engine, start, server.url)
    assert (outcome.last.status, exceptions(outcome)) == (progress_pb2.SHARD_STATUS_COMPLETED, {})
    assert outcome.last.totals.iterations == 3
    assert outcome.last.totals.steps[0].checks[0].passes == 3
    assert sorted(request.path for request in server.seen) == ["/a/7/-", "/b/7/-", "/c/7/-"]


async def test_an_arrival_without_a_row_is_dropped(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        user = Feed("users.csv", mode=FeedMode.UNIQUE)
        @step()
        async def only(self) -> None:
            self.check(self.user["name"], True)
    """
    start = coded(tmp_path, body, "only")
    start.workflow.constant_arrival_rate.CopyFrom(
        workflow_pb2.ConstantArrivalRate(
            rate=50, duration=duration_pb2.Duration(seconds=1), pre_allocated_vus=2, max_vus=9
        )
    )
    start.workflow.feeds.add(name="user", csv="name\na\nb\nc\n", mode=script_pb2.FEED_MODE_UNIQUE)
    async with running_engine() as engine:
        outcome = await run(engine, start)
    totals = outcome.last.totals
    assert (totals.iterations, totals.dropped_iterations, exceptions(outcome)) == (3, 47, {})
    assert sorted(check.name for check in totals.steps[0].checks) == ["a", "b", "c"]


async def test_a_variable_that_is_missing_says_how_to_give_it(tmp_path: Path) -> None:
    body = """
    class Flow(Workflow):
        @step()
        async def only(self) -> None:
            name = "shop"
            self.variables[name]
    """
    async with running_engine() as engine:
        outcome = await run(engine, coded(tmp_path, body, "only"))
    assert exceptions(outcome) == {
        "job.py:8: VariableError: the job has no variable 'shop'; give it with `--var shop=VALUE`": 1
    }
