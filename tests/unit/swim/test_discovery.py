"""Seeds by address and by name, the latter against a real name server on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from hyperscale.swim import NodeAddress
from hyperscale.swim.discovery import Discovery, Lookup, LookupAnswer, LookupKind, SeedError, parse_seed
from hyperscale.swim.resolver import DnsResolver, SeedFinder, SeedLookupError

A, B = NodeAddress("10.0.0.1", 7000), NodeAddress("10.0.0.2", 7000)


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("10.0.0.1:7000", A),
        ("gate.example.org:7000", NodeAddress("gate.example.org", 7000)),
        ("[::1]:7000", NodeAddress("::1", 7000)),
        ("dns://gates.example.org:7000", Lookup(LookupKind.ADDRESSES, "gates.example.org", 7000)),
        ("srv://_swim._udp.example.org", Lookup(LookupKind.SERVICE, "_swim._udp.example.org", 0)),
        ("k8s://gates.load:7000", Lookup(LookupKind.ADDRESSES, "gates.load.svc.cluster.local", 7000)),
    ],
)
def test_a_seed_is_read(text: str, seed: NodeAddress | Lookup) -> None:
    assert parse_seed(text) == seed


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:0", "host:70000", ":7000", "host:x", "ftp://host:1", "srv://name:53", "srv://", "k8s://gates:1"],
)
def test_what_is_no_seed_is_said_so(text: str) -> None:
    with pytest.raises(SeedError, match=r"give|none of"):
        parse_seed(text)


def test_a_name_is_asked_again_when_its_time_to_live_is_over_and_keeps_what_it_had() -> None:
    discovery = Discovery(["10.0.0.1:7000", "dns://gates:7000"], 100.0)
    (lookup,) = discovery.lookups_due(100.0)
    assert discovery.seeds() == [A]
    assert not discovery.lookups_due(100.0), "one question at a time"
    assert discovery.next_deadline() is None
    discovery.answered(lookup, LookupAnswer((B, A), 60.0), 101.0)
    assert discovery.seeds() == [A, B]
    assert discovery.next_deadline() == 161.0
    assert not discovery.lookups_due(160.9)
    assert discovery.lookups_due(161.0) == [lookup]
    discovery.failed(lookup, 161.0)
    assert discovery.seeds() == [A, B]
    assert discovery.next_deadline() == 191.0


@pytest.mark.parametrize(("ttl", "seconds"), [(0.0, 1.0), (5.0, 5.0), (1e9, 3600.0)])
def test_times_to_live_are_kept_within_reason(ttl: float, seconds: float) -> None:
    discovery = Discovery(["dns://gates:7000"], 0.0)
    (lookup,) = discovery.lookups_due(0.0)
    discovery.answered(lookup, LookupAnswer((A,), ttl), 10.0)
    assert discovery.next_deadline() == 10.0 + seconds


def test_that_there_is_nothing_is_believed_for_half_a_minute() -> None:
    discovery = Discovery(["srv://_swim._udp.gates"], 0.0)
    (lookup,) = discovery.lookups_due(0.0)
    discovery.answered(lookup, LookupAnswer((), 3600.0), 0.0)
    assert not discovery.lookups_due(29.9)
    assert discovery.lookups_due(30.0) == [lookup]


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone: (name, type) to (ttl, contents)."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.is_broken = False
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.asked[name, kind] += 1
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if self.is_broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.zone:
            ttl, contents = self.zone[name, kind]
            response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *contents))
        elif not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, DnsResolver]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield server, DnsResolver(["127.0.0.1"], port, timeout_seconds=1.0)
    finally:
        transport.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_records_of_all_kinds_are_resolved() -> None:
    async with name_server() as (server, resolver):
        server.zone["gates.test", "A"] = (60, ["10.0.0.1", "10.0.0.2"])
        server.zone["gates.test", "AAAA"] = (20, ["::1"])
        server.zone["one.test", "A"] = (5, ["10.0.0.3"])
        server.zone["_swim._udp.test", "SRV"] = (30, ["1 5 7001 gates.test.", "0 5 7002 one.test."])
        answer = await resolver.resolve(Lookup(LookupKind.ADDRESSES, "gates.test", 7000))
        assert answer == LookupAnswer((A, B, NodeAddress("::1", 7000)), 20.0)
        answer = await resolver.resolve(Lookup(LookupKind.SERVICE, "_swim._udp.test", 0))
        assert answer.addresses[0] == NodeAddress("10.0.0.3", 7002), "the better priority first"
        assert {address.port for address in answer.addresses[1:]} == {7001}
        assert answer.ttl_seconds == 5.0
        assert (await resolver.resolve(Lookup(LookupKind.ADDRESSES, "nobody.test", 1))).addresses == ()
        with pytest.raises(SeedLookupError, match=r"nobody\.test has no SRV records"):
            await resolver.resolve(Lookup(LookupKind.SERVICE, "nobody.test", 0))
        server.is_broken = True
        with pytest.raises(SeedLookupError, match=r"gates\.test"):
            await resolver.resolve(Lookup(LookupKind.ADDRESSES, "gates.test", 7000))


@pytest.mark.requirement("AD-28.1")
async def test_seeds_follow_the_name_server() -> None:
    async with name_server() as (server, resolver):
        pods = "gates.load.svc.cluster.local"
        server.zone[pods, "A"] = (1, ["10.0.0.2"])
        server.zone["_swim._udp.test", "SRV"] = (3600, ["0 0 7003 one.test."])
        server.zone["one.test", "A"] = (3600, ["10.0.0.3"])
        found: list[Sequence[NodeAddress]] = []
        failures: list[SeedLookupError] = []
        seeds = ["10.0.0.1:7000", "k8s://gates.load:7000", "srv://_swim._udp.test", "dns://missing.test:7000"]
        discovery = Discovery(seeds, asyncio.get_running_loop().time())
        finder = asyncio.ensure_future(
            SeedFinder(discovery, resolver, lambda known: found.append(list(known)), failures.append).run()
        )
        service = NodeAddress("10.0.0.3", 7003)
        await until(lambda: bool(found) and found[-1] == [A, B, service])
        server.zone[pods, "A"] = (1, ["10.0.0.2", "10.0.0.4"])
        await until(lambda: found[-1] == [A, B, NodeAddress("10.0.0.4", 7000), service])
        server.is_broken = True
        await until(lambda: bool(failures))
        assert found[-1] == [A, B, NodeAddress("10.0.0.4", 7000), service], "what was known stays"
        assert server.asked["missing.test", "A"] == 1, "that there is nothing is remembered"
        assert server.asked["_swim._udp.test", "SRV"] == 1, "and what has long to live too"
        finder.cancel()


async def test_without_names_there_is_nothing_to_wait_for() -> None:
    found: list[Sequence[NodeAddress]] = []
    async with name_server() as (server, resolver):
        await SeedFinder(Discovery(["10.0.0.1:7000"], 0.0), resolver, found.append, lambda error: None).run()
        assert found == [[A]]
        assert not server.asked
