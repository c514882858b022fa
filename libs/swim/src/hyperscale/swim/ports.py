"""What the core is given from outside."""

from __future__ import annotations

from typing import Protocol

from hyperscale.swim.models import NodeAddress


class RandomSource(Protocol):
    """Source of random numbers; `random.Random` is one."""

    def random(self) -> float:
        """Return a number of [0, 1)."""
        ...

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a normally distributed number."""
        ...


class RoundTrip(Protocol):
    """What is expected of the round trip to a peer."""

    @property
    def upper_bound_seconds(self) -> float:
        """Seldom exceeded."""
        ...

    @property
    def quality(self) -> float:
        """From 0, a guess, to 1."""
        ...


class Coordinates(Protocol):
    """Where this node and its peers lie."""

    def estimate(self, peer_id: str, now: float) -> RoundTrip:
        """Return the expected round trip to a peer, known or not."""
        ...

    def forget(self, peer_id: str) -> None:
        """Drop what is known of a peer."""
        ...


class Seal(Protocol):
    """Encrypts what leaves and decrypts what arrives; a keyring is one."""

    @property
    def overhead_bytes(self) -> int:
        """By how much sealed data is longer."""
        ...

    def seal(self, plain: bytes) -> bytes:
        """Encrypt."""
        ...

    def open(self, sealed: bytes, source: NodeAddress, now: float) -> bytes | None:
        """Decrypt; none when no key fits, the data was changed, or it was received before."""
        ...
