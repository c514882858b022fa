"""What the target received is what the engine reports, to the request, however a run ends."""

from collections.abc import Iterator

import pytest

from hyperscale.v1 import progress_pb2, workflow_pb2
from tests.integration.engine.engine_process import (
    Engine,
    Outcome,
    constant_vus,
    http_step,
    running_engine,
    shared_iterations,
)
from tests.support.nginx import Nginx, running_nginx
from tests.support.target import BundledTarget, bundled_target
from tests.support.tools import require_tool


@pytest.fixture(scope="module")
def target() -> Iterator[BundledTarget]:
    with bundled_target() as running:
        yield running


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    require_tool("nginx")
    with running_nginx() as running:
        yield running


def assert_consistent(outcome: Outcome) -> None:
    """Windows add up to the totals, lie in order, and every whole response has a duration."""
    totals = outcome.last.totals
    for index, step in enumerate(totals.steps):
        in_windows = [window.stats.steps[index] for window in outcome.windows]
        assert sum(entry.total_count for entry in in_windows) == step.total_count
        assert sum(entry.bytes_received for entry in in_windows) == step.bytes_received
        assert sum(entry.bytes_sent for entry in in_windows) == step.bytes_sent
        assert sum(sum(entry.duration_ms.counts) for entry in in_windows) == sum(step.duration_ms.counts)
    assert sum(window.stats.iterations for window in outcome.windows) == totals.iterations
    starts = [window.window_start.ToNanoseconds() for window in outcome.windows]
    assert starts == sorted(set(starts))
    assert all(start % 1_000_000_000 == 0 for start in starts)


async def test_constant_vus_loses_no_request(target: BundledTarget) -> None:
    before = target.requests()
    login = http_step("login", "/login", method=workflow_pb2.HTTP_METHOD_POST, text="user")
    steps = [http_step("home", "/"), http_step("item", "/items/7"), login]
    async with running_engine() as engine:
        outcome = await engine.run(constant_vus(*steps, vus=20, seconds=2.5), target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert target.requests() - before == outcome.total
    assert outcome.failures == {}
    assert [step.total_count for step in outcome.last.totals.steps] == [outcome.last.totals.iterations] * 3
    assert 2.5 <= outcome.elapsed_seconds < 15
    assert outcome.last.totals.vus_max == 20
    assert outcome.progress[0].totals.vus == 20
    assert_consistent(outcome)


async def test_shared_iterations_run_exactly(target: BundledTarget) -> None:
    before = target.requests()
    async with running_engine() as engine:
        workflow = shared_iterations(http_step("a", "/"), http_step("b", "/items/1"), vus=13, iterations=1001)
        outcome = await engine.run(workflow, target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.last.totals.iterations == 1001
    assert outcome.total == 2002 == target.requests() - before
    assert_consistent(outcome)


async def test_more_users_than_iterations(target: BundledTarget) -> None:
    async with running_engine() as engine:
        outcome = await engine.run(shared_iterations(http_step("a", "/"), vus=50, iterations=3), target.url)
    assert outcome.last.totals.iterations == outcome.total == 3


@pytest.mark.parametrize("path", ["/", "/delay/3000"])
async def test_interruption_counts_what_was_sent(target: BundledTarget, path: str) -> None:
    before = target.requests()
    async with running_engine() as engine:
        outcome = await interrupted(engine, path, target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_CANCELLED
    assert target.requests() - before == outcome.total
    assert set(outcome.failures) == {"CANCELLED"}
    assert outcome.failures["CANCELLED"] <= 30
    assert outcome.last.totals.vus == 0
    assert_consistent(outcome)


async def interrupted(engine: Engine, path: str, url: str) -> Outcome:
    """A run stopped at once after its first report."""
    engine.start(constant_vus(http_step("a", path), vus=30, seconds=30), url)
    first = await engine.next_report()
    engine.stop(graceful=False)
    outcome = await engine.outcome()
    outcome.progress.insert(0, first.progress)
    return outcome


async def test_graceful_stop_lets_iterations_end(target: BundledTarget) -> None:
    before = target.requests()
    async with running_engine() as engine:
        steps = [http_step("a", "/delay/200"), http_step("b", "/delay/200")]
        engine.start(constant_vus(*steps, vus=10, seconds=30), target.url)
        await engine.next_report()
        engine.stop(graceful=True)
        outcome = await engine.outcome()
    assert outcome.last.status == progress_pb2.SHARD_STATUS_CANCELLED
    assert outcome.failures == {}
    assert outcome.total == 2 * outcome.last.totals.iterations == target.requests() - before


async def test_iterations_that_outlast_the_graceful_stop_are_interrupted(target: BundledTarget) -> None:
    before = target.requests()
    async with running_engine() as engine:
        workflow = constant_vus(http_step("slow", "/delay/10000"), vus=8, seconds=0.3, graceful=0.3)
        outcome = await engine.run(workflow, target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.failures == {"CANCELLED": 8}
    assert outcome.total == 8 == target.requests() - before
    assert outcome.last.totals.iterations == 0
    assert outcome.elapsed_seconds < 8


async def test_five_hundred_users_all_get_their_connection(target: BundledTarget) -> None:
    before = target.requests()
    async with running_engine() as engine:
        outcome = await engine.run(constant_vus(http_step("a", "/"), vus=500, seconds=1.5), target.url)
    assert outcome.failures == {}
    assert outcome.last.totals.vus_max == 500
    assert target.requests() - before == outcome.total


async def test_nginx_and_the_engine_count_the_same(nginx: Nginx) -> None:
    """With connections that nginx closes after 1000 requests each."""
    before = nginx.requests()
    async with running_engine() as engine:
        steps = [http_step("a", "/"), http_step("b", "/?page=2")]
        outcome = await engine.run(constant_vus(*steps, vus=16, seconds=1.5), nginx.url)
        assert outcome.failures == {}
        assert nginx.requests() - before == outcome.total
        before = nginx.requests()
        halted = await interrupted(engine, "/", nginx.url)
    assert nginx.requests() - before == halted.total
