"""Managers that the group tells of are linked to beside the configured ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.logs import get_logger
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor
from hyperscale.swim.events import MemberConfirmed, MemberForgotten, MemberLeft
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER
from hyperscale.worker.health import Pulse
from hyperscale.worker.leases import JobLedger
from hyperscale.worker.manager_link import LinkSurroundings
from hyperscale.worker.registry import ManagerLinks
from hyperscale.worker.state import WorkerState
from tests.support.fake_manager import Contented, FakeManager
from tests.support.waiting import until


class LinkedWorker:
    """The links of a worker, beating."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def links(self, *addresses: str) -> ManagerLinks:
        made = self.unlinked(*addresses)
        async with asyncio.timeout(30):
            await made.registered()
        return made

    def unlinked(self, *addresses: str) -> ManagerLinks:
        node = NodeLifecycle(NodeIdentity("worker-1", NODE_ROLE_WORKER, "dc-1", "hyperscale", "default"))
        beats = Rhythm(0.05, 0)
        state = WorkerState(4, JobLedger(60, 10), node, beats.hasten)
        node.listens_at(Endpoint("127.0.0.1", 4711))
        logger = get_logger("test")
        supervisor = Supervisor("test", logger)
        channels = ChannelPool(supervisor)
        self._stack.push_async_callback(channels.close)
        surroundings = LinkSurroundings(channels, supervisor, SystemClock(), logger, 16)
        made = ManagerLinks(addresses, Pulse(node, state, Contented()), surroundings, beats)
        made.start()
        _ = supervisor.start(made.beat_forever, name="beats", restart=RestartPolicy.ON_FAILURE)
        self._stack.push_async_callback(supervisor.stop, 2)
        self._stack.push_async_callback(made.stop)
        return made


@pytest.fixture
async def worker() -> AsyncIterator[LinkedWorker]:
    async with AsyncExitStack() as stack:
        yield LinkedWorker(stack)


@pytest.fixture
async def managers() -> AsyncIterator[tuple[FakeManager, FakeManager]]:
    first, second = FakeManager(manager_id="manager-1"), FakeManager(manager_id="manager-2")
    await first.start()
    await second.start()
    yield first, second
    await first.stop()
    await second.stop()


def member(manager: FakeManager, role: Role = Role.MANAGER) -> Member:
    who = Identity(manager.manager_id, role, NodeAddress("127.0.0.1", manager.port), "hyperscale", "default", "dc-1")
    return Member(who, MemberState.ALIVE, 1, b"", 0, None, 0.0)


def is_linked(links: ManagerLinks, manager: FakeManager) -> bool:
    try:
        links.link_to(manager.manager_id)
    except HyperscaleError as error:
        if error.reason != ErrorReason.NOT_READY:
            raise
        return False
    return True


@pytest.mark.parametrize("end", [MemberLeft, MemberForgotten])
async def test_a_manager_that_the_group_has_met_is_linked_to_until_it_is_gone_for_good(
    end: type[MemberLeft | MemberForgotten], worker: LinkedWorker, managers: tuple[FakeManager, FakeManager]
) -> None:
    first, second = managers
    links = await worker.links(first.address)
    assert not is_linked(links, second)
    links.member_changed(MemberConfirmed(member(second)))
    await second.until(lambda: bool(second.heartbeats), "the worker at the second manager")
    assert is_linked(links, first)
    assert is_linked(links, second)
    links.member_changed(end(member(second)))
    await until(lambda: not is_linked(links, second), "the link dropped")
    assert is_linked(links, first)


async def test_a_configured_manager_under_another_spelling_is_linked_to_once(
    worker: LinkedWorker, managers: tuple[FakeManager, FakeManager]
) -> None:
    first, _ = managers
    links = await worker.links(f"localhost:{first.port}")
    links.member_changed(MemberConfirmed(member(first)))
    beats = len(first.heartbeats)
    await first.until(lambda: len(first.heartbeats) > beats + 5, "some heartbeats")
    assert len(first.registrations) == 1
    links.member_changed(MemberLeft(member(first)))
    beats = len(first.heartbeats)
    await first.until(lambda: len(first.heartbeats) > beats + 5, "a configured manager is never given up")
    assert is_linked(links, first)


async def test_a_worker_that_has_only_names_to_look_up_links_to_whom_the_group_tells_of(
    worker: LinkedWorker, managers: tuple[FakeManager, FakeManager]
) -> None:
    links = worker.unlinked()
    for manager in managers:
        links.member_changed(MemberConfirmed(member(manager)))
    async with asyncio.timeout(30):
        await links.registered()
    await until(lambda: all(is_linked(links, manager) for manager in managers), "links to both")


async def test_who_is_no_manager_is_not_linked_to(
    worker: LinkedWorker, managers: tuple[FakeManager, FakeManager]
) -> None:
    first, second = managers
    links = await worker.links(first.address)
    links.member_changed(MemberConfirmed(member(second, Role.WORKER)))
    beats = len(first.heartbeats)
    await first.until(lambda: len(first.heartbeats) > beats + 5, "some heartbeats")
    assert not second.registrations
