"""The one interface through which nodes agree on anything durable."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from hyperscale.runtime.coordination.values import Change, Entry, Expectation, Lease, Write


class Coordinator(Protocol):
    """A linearizable key-value store with leases.

    Every call may raise `CoordinationUnavailableError`; then a write may or may not have happened, and the caller reads
    again. A write that returned survives the loss of power. A caller that is cancelled while it waits does not know
    whether its write happened either. Cancelling an `acquire` may leave the lease held until it expires.
    """

    async def acquire(self, name: str, owner: str, ttl_seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already held by ``owner``; None if another owner holds it.

        An owner that acquires again gets a new, higher token, and its earlier lease is lost.
        """
        ...

    async def campaign(self, name: str, owner: str, ttl_seconds: float, timeout_seconds: float) -> Lease:
        """Wait for the lease; raises DEADLINE_EXCEEDED if it did not become free in time."""
        ...

    async def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        """Move the expiry to ``ttl_seconds`` from now, same token; raises `LeaseLostError`."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing if it is already lost."""
        ...

    async def holder(self, name: str) -> Lease | None:
        """The unexpired lease of the name, if any."""
        ...

    async def get(self, key: str) -> Entry | None:
        """The entry of the key, if any."""
        ...

    async def list(self, prefix: str, limit: int = 1000, after: str | None = None) -> tuple[Entry, ...]:
        """Up to ``limit`` entries in key order whose keys start with ``prefix`` and are greater than ``after``."""
        ...

    async def commit(self, writes: Sequence[Write], guard: Lease | None = None) -> int:
        """Apply all writes or none, while the guard is held; returns the revision that all of them get.

        Raises `ConflictError` if an expectation does not hold and `LeaseLostError` if the guard is lost.
        """
        ...

    async def put(
        self,
        key: str,
        value: bytes,
        expect: Expectation = None,
        guard: Lease | None = None,
        ttl_seconds: float | None = None,
    ) -> int:
        """Commit one `Put`."""
        ...

    async def delete(self, key: str, expect: Expectation = None, guard: Lease | None = None) -> bool:
        """Commit one `Delete`; returns whether the key existed."""
        ...

    async def revision(self) -> int:
        """Revision of the latest commit. Read it before `list` to `watch` from there without a gap."""
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncGenerator[Change, None]:
        """Changes below ``prefix`` made after a revision, in order, without gaps; ends when the coordinator closes.

        Resume with the last revision whose changes were all handled. Raises SEQUENCE_EXPIRED when the store no longer
        keeps the changes after ``after_revision``; then list again.
        """
        ...

    async def close(self) -> None:
        """Let go of the store; leases stay until they expire."""
        ...
