"""Where members of a group may be found: addresses, and names that are looked up again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.swim.discovery import Discovery, parse_seed
from hyperscale.swim.models import NodeAddress


def checked_seed(text: str) -> str:
    """The seed as it was given; raises ValueError unless it is an address, or a name to look up."""
    if is_address(text):
        Endpoint.parse(text)
    parse_seed(text)
    return text


def seed_fault(text: str) -> str:
    """Why that is no seed; empty when it is one."""
    try:
        checked_seed(text)
    except ValueError as error:
        return str(error)
    return ""


def is_address(seed: str) -> bool:
    """Whether the seed is host:port, which can be called as it stands."""
    return "://" not in seed


async def keep_finding(
    seeds: Sequence[str], now: float, join: Callable[[Sequence[NodeAddress]], None], logger: FilteringBoundLogger
) -> None:
    """Hand on the seeds now and whenever names stand for others; returns at once when there are only addresses."""
    discovery = Discovery(seeds, now)
    if discovery.next_deadline() is None:
        join(discovery.seeds())
        return
    # Needed by few, and slower to import than the rest of membership together.
    from hyperscale.swim.resolver import DnsResolver, SeedFinder, SeedLookupError  # noqa: PLC0415

    def report(error: SeedLookupError) -> None:
        logger.warning("seeds not found", error=str(error))

    await SeedFinder(discovery, DnsResolver(), join, report).run()
