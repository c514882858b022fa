"""Nodes with real sockets on loopback, in one process."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from hyperscale.swim import (
    Event,
    Identity,
    InputRefused,
    MemberState,
    NodeAddress,
    RefusalReason,
    Role,
    Swim,
    SwimConfig,
)
from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity
from hyperscale.swim.shell import GroupTasks, SwimShell
from hyperscale.swim.sockets import BoundSockets, bind
from hyperscale.swim.tcp import TcpStreams

FAST = replace(
    SwimConfig.local(),
    probe_interval_seconds=0.2,
    probe_timeout_seconds=0.1,
    gossip_interval_seconds=0.02,
    stream_timeout_seconds=0.5,
    join_retry_seconds=0.2,
)
KEY = b"k" * 32


def streams_on(sockets: BoundSockets) -> TcpStreams:
    return TcpStreams(sockets.streams, FAST.stream_max_bytes, FAST.stream_timeout_seconds)


@dataclass(slots=True)
class Running:
    shell: SwimShell
    address: NodeAddress
    events: list[Event] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def sees(self, *names: str, state: MemberState = MemberState.ALIVE) -> bool:
        members = [self.shell.swim.member(name) for name in names]
        return all(member is not None and member.state is state for member in members)

    def refused(self, reason: RefusalReason) -> bool:
        return any(isinstance(event, InputRefused) and event.reason is reason for event in self.events)


class Nodes:
    """Started nodes, all stopped at the end."""

    def __init__(self, tasks: GroupTasks) -> None:
        self._tasks = tasks
        self.running: list[Running] = []

    async def start(
        self,
        name: str,
        seed: NodeAddress | None = None,
        *,
        cluster: str = "c",
        key: bytes = b"",
        host: str = "127.0.0.1",
    ) -> Running:
        sockets = await bind(host, 0)
        now = asyncio.get_running_loop().time()
        who = Identity(name, Role.GATE, sockets.address, cluster, "e", "dc")
        seal = DatagramSeal(Keyring(key), SealIdentity(cluster, "e", name, 1), os.urandom) if key else None
        swim = Swim(who, FAST, random.Random(name), now, incarnation=1, keyring=seal)
        events: list[Event] = []
        failures: list[Exception] = []
        shell = SwimShell(
            swim,
            sockets.datagrams,
            streams_on(sockets),
            tasks=self._tasks,
            on_event=events.append,
            report=failures.append,
        )
        await shell.start()
        node = Running(shell, sockets.address, events, failures)
        self.running.append(node)
        if seed is not None:
            swim.join([seed], now)
            shell.changed()
        return node

    async def kill(self, node: Running) -> None:
        self.running.remove(node)
        await node.shell.stop(leave=False)


@asynccontextmanager
async def nodes() -> AsyncIterator[Nodes]:
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        made = Nodes(GroupTasks(group))

        async def stop() -> None:
            for node in made.running:
                await node.shell.stop(leave=False)

        stack.push_async_callback(stop)
        yield made


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nodes_find_each_other_and_notice_a_death_and_a_leave() -> None:
    async with nodes() as made:
        first = await made.start("n0")
        rest = [await made.start(f"n{number}", first.address) for number in range(1, 6)]
        names = [f"n{number}" for number in range(6)]
        await until(lambda: all(node.sees(*names) for node in made.running))
        await made.kill(rest[-1])
        await until(lambda: all(node.sees("n5", state=MemberState.DEAD) for node in made.running))
        made.running.remove(rest[-2])
        await rest[-2].shell.stop(leave=True)
        await until(lambda: all(node.sees("n4", state=MemberState.LEFT) for node in made.running))
        assert all(node.sees("n0", "n1", "n2", "n3") for node in made.running)
        assert not any(node.failures for node in made.running)


async def test_a_name_is_looked_up_and_its_datagrams_wait() -> None:
    async with nodes() as made:
        first = await made.start("n0")
        second = await made.start("n1", NodeAddress("localhost", first.address.port))
        await until(lambda: first.sees("n1") and second.sees("n0"))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6_serves_as_well() -> None:
    async with nodes() as made:
        try:
            first = await made.start("n0", host="::1")
        except OSError:
            pytest.skip("no IPv6 loopback here")
        second = await made.start("n1", first.address, host="::1")
        await until(lambda: first.sees("n1") and second.sees("n0"))


async def test_a_seed_that_starts_later_is_found() -> None:
    async with nodes() as made:
        sockets = await bind("127.0.0.1", 0)
        address = sockets.address
        early = await made.start("n0", address)
        await asyncio.sleep(0.3)
        sockets.close()
        late_sockets = await bind("127.0.0.1", address.port)
        now = asyncio.get_running_loop().time()
        swim = Swim(Identity("n1", Role.GATE, address, "c", "e", "dc"), FAST, random.Random(1), now)
        async with asyncio.TaskGroup() as group:
            shell = SwimShell(
                swim,
                late_sockets.datagrams,
                streams_on(late_sockets),
                tasks=GroupTasks(group),
                on_event=lambda event: None,
                report=lambda error: None,
            )
            await shell.start()
            made.running.append(Running(shell, address))
            await until(lambda: early.sees("n1"))


@pytest.mark.requirement("AD-28.2")
async def test_another_cluster_is_refused_with_a_clear_message_and_a_counter_on_both_sides() -> None:
    async with nodes() as made:
        ours = await made.start("ours", cluster="blue")
        theirs = await made.start("theirs", ours.address, cluster="green")
        await until(lambda: ours.refused(RefusalReason.WRONG_CLUSTER) and theirs.refused(RefusalReason.REFUSED_BY_PEER))
        (told,) = [event for event in ours.events if isinstance(event, InputRefused)]
        assert told.detail == "'theirs' is of cluster 'green', environment 'e', protocol 1"
        assert ours.shell.swim.counters().refused[RefusalReason.WRONG_CLUSTER] >= 1
        assert theirs.shell.swim.counters().refused[RefusalReason.REFUSED_BY_PEER] >= 1
        assert len(ours.shell.swim.members()) == len(theirs.shell.swim.members()) == 1


async def test_with_another_key_or_none_a_node_stays_out_and_both_sides_see_why() -> None:
    async with nodes() as made:
        first = await made.start("n0", key=KEY)
        second = await made.start("n1", first.address, key=KEY)
        wrong = await made.start("n2", first.address, key=b"x" * 32)
        plain = await made.start("n3", first.address)
        green = await made.start("n4", first.address, key=KEY, cluster="green")
        await until(lambda: first.sees("n1") and second.sees("n0"))
        await until(lambda: first.refused(RefusalReason.UNDECRYPTABLE))
        await until(lambda: wrong.refused(RefusalReason.UNDECRYPTABLE))
        await until(lambda: plain.refused(RefusalReason.MALFORMED))
        await until(lambda: first.refused(RefusalReason.WRONG_GROUP) and green.refused(RefusalReason.WRONG_GROUP))
        assert {member.identity.node_id for member in first.shell.swim.members()} == {"n0", "n1"}


async def test_rubbish_over_udp_and_tcp_harms_nothing() -> None:
    async with nodes() as made:
        first = await made.start("n0")
        loop = asyncio.get_running_loop()
        rng = random.Random(3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rubbish:
            rubbish.setblocking(False)
            for _ in range(50):
                data = rng.randbytes(rng.randrange(1500))
                await loop.sock_sendto(rubbish, data, (first.address.host, first.address.port))
        for data in (b"", b"\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05abcde", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(first.address.host, first.address.port)
            writer.write(data)
            writer.write_eof()
            assert (await reader.read()) in (b"", b"\x00\x00\x00\x00")
            writer.close()
        second = await made.start("n1", first.address)
        await until(lambda: first.sees("n1") and second.sees("n0"))
        assert first.shell.swim.counters().refused


async def test_what_an_owner_raises_is_reported_and_stops_nothing() -> None:
    async with asyncio.TaskGroup() as group:
        sockets = await bind("127.0.0.1", 0)
        reported: list[Exception] = []

        def fail(event: Event) -> None:
            raise RuntimeError(type(event).__name__)

        now = asyncio.get_running_loop().time()
        swim = Swim(Identity("n0", Role.GATE, sockets.address, "c", "e", "dc"), FAST, random.Random(1), now)
        shell = SwimShell(
            swim, sockets.datagrams, streams_on(sockets), tasks=GroupTasks(group), on_event=fail, report=reported.append
        )
        await shell.start()
        swim.receive_datagram(b"rubbish", NodeAddress("127.0.0.1", 9), now)
        shell.changed()
        await until(lambda: [str(error) for error in reported] == ["InputRefused"])
        await shell.stop()


async def test_a_port_that_is_taken_is_said_so() -> None:
    sockets = await bind("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await bind("127.0.0.1", sockets.address.port)
    sockets.close()


def test_the_core_is_imported_without_grpc_and_asyncio() -> None:
    code = "import sys, hyperscale.swim; print([name for name in ('grpc', 'asyncio', 'socket') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
