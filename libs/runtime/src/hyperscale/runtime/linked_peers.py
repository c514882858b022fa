"""Links to peers at configured addresses, and to peers that were found since."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from hyperscale.runtime.clock import Clock

_MAX_LINKS = 64
_SEED_PATIENCE_SECONDS = 5.0


class PeerLink(Protocol):
    """A connection that is kept alive."""

    @property
    def peer_id(self) -> str:
        """Node id of who answered there last; empty before the first answer."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether a stream is open."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether it can be given up without losing a report."""
        ...

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        ...

    async def stop(self) -> None:
        """Close the connection."""
        ...


LinkT = TypeVar("LinkT", bound=PeerLink)


class LinkedPeers(Generic[LinkT]):
    """One link to each peer: configured ones for ever, found ones for as long as they are told of.

    Parameters
    ----------
    seeds
        Configured addresses.
    link
        Makes the link to an address.
    """

    def __init__(self, seeds: Sequence[str], link: Callable[[str], LinkT], clock: Clock) -> None:
        self._link = link
        self._links = {address: link(address) for address in seeds}
        self._seeds = frozenset(seeds)
        self._clock = clock
        self._up_at = dict.fromkeys(seeds, clock.monotonic())
        """When links to configured addresses were last seen connected, or made."""

    @property
    def links(self) -> list[LinkT]:
        """Every link."""
        return list(self._links.values())

    def start(self) -> None:
        """Connect to the configured addresses in the background."""
        for link in self._links.values():
            link.start()

    async def stop(self) -> None:
        """Close every link."""
        await _stop(self._links.values())

    async def follow(self, found: Mapping[str, str]) -> None:
        """Link to peers at these addresses, by node id, and to no others but the configured ones."""
        now = self._clock.monotonic()
        self._up_at |= {address: now for address in self._seeds if self._links[address].is_connected}
        await self._drop_superfluous(found)
        self._add_missing(found)

    async def _drop_superfluous(self, found: Mapping[str, str]) -> None:
        """Close links, but those to configured addresses, to who has gone, and to who is linked to already."""
        linked = {self._links[address].peer_id for address in self._seeds if self._is_hopeful(address)}
        wanted = {address for node_id, address in found.items() if node_id not in linked}
        superfluous = [address for address in self._links if address not in self._seeds | wanted]
        await _stop([self._links.pop(address) for address in superfluous if self._links[address].is_settled])

    def _add_missing(self, found: Mapping[str, str]) -> None:
        """Link to peers that were found, once no configured address may turn out to be theirs."""
        hopeful = [self._links[address] for address in self._seeds if self._is_hopeful(address)]
        if not all(link.peer_id for link in hopeful):
            return
        others = [link for address, link in self._links.items() if address not in self._seeds]
        linked = {link.peer_id for link in (*hopeful, *others)}
        for node_id, address in found.items():
            if node_id not in linked and address not in self._links and len(self._links) < _MAX_LINKS:
                self._links[address] = link = self._link(address)
                link.start()

    def _is_hopeful(self, seed: str) -> bool:
        """Whether somebody answers at a configured address, or may do so in a moment; else its peer may be elsewhere by now."""
        return self._clock.monotonic() - self._up_at[seed] < _SEED_PATIENCE_SECONDS


async def _stop(links: Iterable[PeerLink]) -> None:
    """Close links, all at once: several that are slow to end take no longer than one."""
    await asyncio.gather(*(link.stop() for link in links))
