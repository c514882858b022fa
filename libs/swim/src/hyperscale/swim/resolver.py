"""Asks name servers, and keeps a node's seeds as they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from hyperscale.swim.discovery import TTL_MAX_SECONDS, Discovery, Lookup, LookupAnswer, LookupKind
from hyperscale.swim.models import NodeAddress

_TARGETS_MAX = 64


class SeedLookupError(Exception):
    """No name server answered, or not with what was asked for."""


class Resolver(Protocol):
    """Answers lookups."""

    async def resolve(self, lookup: Lookup) -> LookupAnswer:
        """Return what the name stands for; raises `SeedLookupError` when nothing can be said of it."""
        ...


class DnsResolver:
    """Asks the name servers of this machine, or the ones given.

    Parameters
    ----------
    servers
        Addresses of name servers; empty for those of the machine.
    port
        Their port.
    timeout_seconds
        For one question, all servers and attempts together.
    """

    def __init__(self, servers: Sequence[str] = (), port: int = 53, timeout_seconds: float = 5.0) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = list(servers)
        self._resolver.port = port
        self._resolver.lifetime = timeout_seconds
        self._resolver.search = []

    async def resolve(self, lookup: Lookup) -> LookupAnswer:
        """Ask."""
        if lookup.kind is LookupKind.SERVICE:
            return await self._service(lookup.name)
        return await self._addresses(lookup.name, lookup.port)

    async def _service(self, name: str) -> LookupAnswer:
        answer = await self._ask(name, dns.rdatatype.SRV)
        if answer is None:
            raise SeedLookupError(f"{name} has no SRV records")
        records = sorted((record for record in answer if isinstance(record, SRV)), key=_rank)
        ttl = float(answer.rrset.ttl if answer.rrset is not None else 0)
        found: list[NodeAddress] = []
        for record in records[:_TARGETS_MAX]:
            target = await self._addresses(record.target.to_text(), record.port)
            found += target.addresses
            ttl = min(ttl, target.ttl_seconds)
        return LookupAnswer(tuple(dict.fromkeys(found)), ttl)

    async def _addresses(self, name: str, port: int) -> LookupAnswer:
        answers = [await self._ask(name, kind) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA)]
        given = [answer for answer in answers if answer is not None]
        ttls = [float(answer.rrset.ttl) for answer in given if answer.rrset is not None]
        # Name servers turn the order of records; sorted, the same seeds are equal.
        found = tuple(NodeAddress(text, port) for answer in given for text in sorted(r.to_text() for r in answer))
        return LookupAnswer(found, min(ttls, default=TTL_MAX_SECONDS))

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer | None:
        """Return the answer; none when the name has no record of the kind, or does not exist."""
        try:
            absolute = dns.name.from_text(name)
            return await self._resolver.resolve(absolute, kind, raise_on_no_answer=True)
        except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
            return None
        except (dns.exception.DNSException, OSError) as error:
            raise SeedLookupError(f"{name}: {error}") from error


def _rank(record: SRV) -> tuple[int, int, str]:
    return record.priority, -record.weight, record.target.to_text()


class SeedFinder:
    """Asks whenever something is due, and hands on the seeds whenever they have changed.

    Parameters
    ----------
    on_seeds
        Called with all seeds known; a node's `join` fits.
    on_failure
        Called with why a lookup failed.
    """

    def __init__(
        self,
        discovery: Discovery,
        resolver: Resolver,
        on_seeds: Callable[[Sequence[NodeAddress]], None],
        on_failure: Callable[[SeedLookupError], None],
    ) -> None:
        self._discovery = discovery
        self._resolver = resolver
        self._on_seeds = on_seeds
        self._on_failure = on_failure

    async def run(self) -> None:
        """Go on until cancelled; return when no seed is a name."""
        loop = asyncio.get_running_loop()
        known: list[NodeAddress] = []
        while True:
            for lookup in self._discovery.lookups_due(loop.time()):
                await self._look_up(lookup)
            seeds = self._discovery.seeds()
            if seeds != known:
                known = seeds
                self._on_seeds(seeds)
            deadline = self._discovery.next_deadline()
            if deadline is None:
                return
            await asyncio.sleep(deadline - loop.time())

    async def _look_up(self, lookup: Lookup) -> None:
        loop = asyncio.get_running_loop()
        try:
            answer = await self._resolver.resolve(lookup)
        except SeedLookupError as error:
            self._discovery.failed(lookup, loop.time())
            self._on_failure(error)
            return
        self._discovery.answered(lookup, answer, loop.time())
