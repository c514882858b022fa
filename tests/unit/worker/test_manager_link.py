"""The link to a manager, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.logs import get_logger
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER, NODE_STATE_SYNCING
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_GRANTED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_RUNNING,
    ExtensionAnswer,
    ExtensionRequest,
    ShardStatus,
    WorkflowProgress,
)
from hyperscale.worker.config import WorkerConfig
from hyperscale.worker.health import Pulse
from hyperscale.worker.leases import JobLedger
from hyperscale.worker.manager_link import LinkSurroundings
from hyperscale.worker.registry import ManagerLinks
from hyperscale.worker.state import WorkerState
from tests.support.fake_manager import MANAGER_ID, FakeManager
from tests.support.waiting import until

CAPACITY = 16
SHARD = "job/w/0"


@pytest.fixture
async def manager() -> AsyncIterator[FakeManager]:
    fake = FakeManager()
    await fake.start()
    yield fake
    await fake.stop()


@dataclass(slots=True)
class OneWish:
    """A shard that asks for more time until it has been answered."""

    answers: list[ExtensionAnswer] = field(default_factory=list)

    def extension_requests(self) -> list[ExtensionRequest]:
        return [] if self.answers else [ExtensionRequest(shard_id=SHARD, attempt=3, work_done=7)]

    def extension_answered(self, answer: ExtensionAnswer) -> None:
        self.answers.append(answer)


@pytest.fixture
def wish() -> OneWish:
    return OneWish()


@pytest.fixture
async def links(manager: FakeManager, wish: OneWish) -> AsyncIterator[ManagerLinks]:
    """Started links to the manager."""
    config = WorkerConfig(node_id="worker-1", datacenter="dc-1", managers=(manager.address,), cores=4)
    node = NodeLifecycle(NodeIdentity.of(config, NODE_ROLE_WORKER))
    beats = Rhythm(0.05, 0)
    state = WorkerState(config.cores, JobLedger(60, 10), node, beats.hasten)
    node.listens_at(Endpoint("127.0.0.1", 4711))
    logger = get_logger("test")
    supervisor = Supervisor("test", logger)
    channels = ChannelPool(supervisor)
    surroundings = LinkSurroundings(channels, supervisor, SystemClock(), logger, CAPACITY)
    made = ManagerLinks(config.managers, Pulse(node, state, wish), surroundings, beats)
    made.start()
    async with asyncio.timeout(30):
        await made.registered()
    yield made
    await made.stop()
    await supervisor.stop(2)
    await channels.close()


def progress(sequence: int, status: ShardStatus.ValueType = SHARD_STATUS_RUNNING) -> WorkflowProgress:
    return WorkflowProgress(job_id="job", shard_id=SHARD, attempt=1, progress_sequence=sequence, status=status)


def sequences(manager: FakeManager) -> list[int]:
    return [one.progress_sequence for one in manager.progress(SHARD)]


async def test_a_worker_introduces_itself_and_begins_its_stream_with_a_heartbeat(
    manager: FakeManager, links: ManagerLinks
) -> None:
    await manager.until(lambda: bool(manager.first_frames), "a frame")
    (registration,) = manager.registrations
    assert (registration.node.node_id, registration.node.datacenter) == ("worker-1", "dc-1")
    assert (registration.node.endpoint.host, registration.node.endpoint.port) == ("127.0.0.1", 4711)
    assert (registration.node.state, registration.total_cores) == (NODE_STATE_SYNCING, 4)
    assert manager.first_frames[0].heartbeat.node.node_id == "worker-1"


async def test_a_heartbeat_asks_for_more_time_and_the_answer_comes_back(
    manager: FakeManager, links: ManagerLinks, wish: OneWish
) -> None:
    links.beat()
    await until(lambda: wish.answers, "an answer")
    (asked,) = next(each.extension_requests for each in manager.heartbeats if each.extension_requests)
    assert (asked.shard_id, asked.work_done) == (SHARD, 7)
    answer = wish.answers[0]
    assert (answer.attempt, answer.outcome, answer.time_left.seconds) == (3, EXTENSION_OUTCOME_GRANTED, 30)


async def test_reports_go_to_the_manager_that_is_meant(manager: FakeManager, links: ManagerLinks) -> None:
    links.link_to(MANAGER_ID).report(progress(1))
    await manager.until(lambda: sequences(manager) == [1], "the report")
    with pytest.raises(HyperscaleError) as refused:
        links.link_to("stranger")
    assert refused.value.reason is ErrorReason.NOT_READY


async def test_a_worker_is_settled_once_everything_is_acknowledged(manager: FakeManager, links: ManagerLinks) -> None:
    manager.acknowledges = False
    link = links.link_to(MANAGER_ID)
    assert link.is_settled
    link.report(progress(1))
    await manager.until(lambda: sequences(manager) == [1], "the report")
    assert await links.settle(0.1) == [MANAGER_ID]
    manager.acknowledges = True
    link.report(progress(2))
    assert await links.settle(10) == []


async def test_after_a_break_everything_unacknowledged_is_sent_again_in_order(
    manager: FakeManager, links: ManagerLinks
) -> None:
    manager.acknowledges = False
    link = links.link_to(MANAGER_ID)
    for sequence in (1, 2, 3):
        link.report(progress(sequence))
    await manager.until(lambda: sequences(manager) == [1, 2, 3], "three reports")
    await manager.stop()
    link.report(progress(4, SHARD_STATUS_COMPLETED))
    manager.acknowledges = True
    manager.frames.clear()
    await manager.start()
    await manager.until(lambda: sequences(manager) == [1, 2, 3, 4], "all four reports")
    assert await links.settle(10) == []
    assert link.down_since is None


async def test_a_link_says_since_when_it_is_down(manager: FakeManager, links: ManagerLinks) -> None:
    link = links.link_to(MANAGER_ID)
    await manager.until(lambda: bool(manager.first_frames), "a frame")
    links.beat()
    before = link.down_since
    await manager.stop()
    async with asyncio.timeout(30):
        while (since := link.down_since) is None:
            await asyncio.sleep(0.01)
    assert before is None
    assert since <= SystemClock().monotonic()


async def test_a_full_outbox_drops_old_progress_and_never_a_result(manager: FakeManager, links: ManagerLinks) -> None:
    link = links.link_to(MANAGER_ID)
    await manager.stop()
    for sequence in range(1, 10 * CAPACITY):
        link.report(progress(sequence))
    link.report(progress(10 * CAPACITY, SHARD_STATUS_COMPLETED))
    await manager.start()
    final = await manager.ended(SHARD)
    assert final.progress_sequence == 10 * CAPACITY
    assert len(sequences(manager)) <= CAPACITY


async def test_a_manager_that_takes_no_results_gets_no_more_work_done(
    manager: FakeManager, links: ManagerLinks
) -> None:
    await manager.stop()
    for sequence in range(1, CAPACITY + 2):
        links.link_to(MANAGER_ID).report(progress(sequence, SHARD_STATUS_COMPLETED))
    with pytest.raises(HyperscaleError) as refused:
        links.link_to(MANAGER_ID)
    assert refused.value.reason is ErrorReason.OVERLOADED
