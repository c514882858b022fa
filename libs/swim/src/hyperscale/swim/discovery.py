"""Where the seeds are: addresses as they stand, or names that are looked up again when their time to live is over.

host:port                  an address; a name is looked up when it is used
dns://name:port            all A and AAAA records of a name
srv://_swim._udp.name      targets and ports of SRV records
k8s://service.namespace:port    the pods of a headless Kubernetes service
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hyperscale.swim.models import NodeAddress

NEGATIVE_SECONDS: Final = 30.0
"""How long an answer that there is nothing, or none at all, is taken for the truth."""
TTL_MIN_SECONDS: Final = 1.0
TTL_MAX_SECONDS: Final = 3_600.0
ADDRESSES_MAX: Final = 256
_CLUSTER_DOMAIN: Final = "svc.cluster.local"


class SeedError(ValueError):
    """What was given as a seed is none."""


class LookupKind(StrEnum):
    """What is asked of the name server."""

    ADDRESSES = "addresses"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question for the name server."""

    kind: LookupKind
    name: str
    port: int
    """Port of the addresses; SRV records have their own."""


@dataclass(frozen=True, slots=True)
class LookupAnswer:
    """What the name server said."""

    addresses: tuple[NodeAddress, ...]
    ttl_seconds: float


def parse_seed(text: str) -> NodeAddress | Lookup:
    """Return what a configured seed means.

    Raises
    ------
    SeedError
        It means nothing.
    """
    scheme, separator, rest = text.strip().rpartition("://")
    if not separator:
        return NodeAddress(*_split_port(rest, text))
    if scheme == "srv":
        if not rest or ":" in rest:
            raise SeedError(f"{text!r}: SRV records have their own ports; give a name only")
        return Lookup(LookupKind.SERVICE, rest, 0)
    if scheme == "dns":
        return Lookup(LookupKind.ADDRESSES, *_split_port(rest, text))
    if scheme == "k8s":
        name, port = _split_port(rest, text)
        if name.count(".") != 1:
            raise SeedError(f"{text!r}: give service.namespace:port")
        return Lookup(LookupKind.ADDRESSES, f"{name}.{_CLUSTER_DOMAIN}", port)
    raise SeedError(f"{text!r}: {scheme} is none of dns, srv, k8s")


def _split_port(text: str, whole: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        raise SeedError(f"{whole!r}: give a host and a port of 1 to 65535")
    return host, int(port)


@dataclass(slots=True)
class _Name:
    due: float
    addresses: tuple[NodeAddress, ...] = ()
    is_asked: bool = field(default=False)


class Discovery:
    """Knows the seeds, and when to ask for them again. A name that fails keeps the addresses it had."""

    def __init__(self, seeds: Iterable[str], now: float) -> None:
        parsed = list(dict.fromkeys(parse_seed(seed) for seed in seeds))
        self._static = [seed for seed in parsed if isinstance(seed, NodeAddress)]
        self._names = {seed: _Name(now) for seed in parsed if isinstance(seed, Lookup)}

    def seeds(self) -> list[NodeAddress]:
        """Return all addresses known now, those that were configured first."""
        found = (address for name in self._names.values() for address in name.addresses)
        return list(dict.fromkeys([*self._static, *found]))

    def lookups_due(self, now: float) -> Sequence[Lookup]:
        """Return the questions to ask now; each is given out once until it is answered."""
        due = [lookup for lookup, name in self._names.items() if not name.is_asked and name.due <= now]
        for lookup in due:
            self._names[lookup].is_asked = True
        return due

    def next_deadline(self) -> float | None:
        """Return when the next question is due; none while all are asked, or there is nothing to ask."""
        return min((name.due for name in self._names.values() if not name.is_asked), default=None)

    def answered(self, lookup: Lookup, answer: LookupAnswer, now: float) -> None:
        """Take over what a name stands for, for as long as the answer says."""
        name = self._names[lookup]
        name.is_asked = False
        if not answer.addresses:
            self.failed(lookup, now)
            return
        name.addresses = answer.addresses[:ADDRESSES_MAX]
        name.due = now + min(TTL_MAX_SECONDS, max(TTL_MIN_SECONDS, answer.ttl_seconds))

    def failed(self, lookup: Lookup, now: float) -> None:
        """Note that there was no answer, or nothing in it: it is not asked for again for a while."""
        name = self._names[lookup]
        name.is_asked = False
        name.due = now + NEGATIVE_SECONDS
