"""The asynchronous half of every local backend: what waits, over a store that does not.

A backend supplies a `Store` (the rules, synchronous) and a `Runner` (where those calls run and how a waiter learns that
something changed). Everything that waits is written once, here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hyperscale.runtime.coordination.values import (
    Change,
    Delete,
    Entry,
    Expectation,
    Lease,
    Put,
    Write,
    check_key,
    check_ttl,
    check_writes,
)
from hyperscale.runtime.errors import ErrorReason, HyperscaleError

ResultT = TypeVar("ResultT")

_CAMPAIGN_POLL_SECONDS = 0.05
_WATCH_PAGE_CHANGES = 256


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes in order, and the sequence number to continue after."""

    changes: tuple[Change, ...]
    last_sequence: int


class Store(Protocol):
    """The rules of coordination, synchronous and atomic per call."""

    def acquire(self, name: str, owner: str, ttl_seconds: float) -> Lease | None:
        """See `Coordinator.acquire`."""
        ...

    def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        """See `Coordinator.renew`."""
        ...

    def release(self, lease: Lease) -> None:
        """See `Coordinator.release`."""
        ...

    def holder(self, name: str) -> Lease | None:
        """See `Coordinator.holder`."""
        ...

    def get(self, key: str) -> Entry | None:
        """See `Coordinator.get`."""
        ...

    def list(self, prefix: str, limit: int, after: str | None) -> tuple[Entry, ...]:
        """See `Coordinator.list`."""
        ...

    def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
        """See `Coordinator.commit`."""
        ...

    def revision(self) -> int:
        """See `Coordinator.revision`."""
        ...

    def sequence_after(self, revision: int) -> int:
        """Number of the last change made at or before a revision; raises SEQUENCE_EXPIRED if later ones are gone."""
        ...

    def changes(self, prefix: str, after_sequence: int, limit: int) -> ChangePage:
        """A page of the changes below a prefix; raises SEQUENCE_EXPIRED if some of them are no longer kept."""
        ...


class Runner(Protocol):
    """Runs calls on a store and tells waiters that it changed."""

    async def read(self, call: Callable[[Store], ResultT]) -> ResultT:
        """Run a call that changes nothing."""
        ...

    async def write(self, call: Callable[[Store], ResultT]) -> ResultT:
        """Run a call that may change something; returns once it is durable."""
        ...

    def pulse(self) -> asyncio.Event:
        """An event that is set when the store changes after this call, or the runner closes."""
        ...

    async def wait(self, pulse: asyncio.Event) -> None:
        """Wait for a pulse, or until something in the store is due to expire."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the runner takes no more calls."""
        ...

    async def close(self) -> None:
        """Finish what was asked, then take no more calls."""
        ...


class StoreCoordinator:
    """`Coordinator` over any local store."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def acquire(self, name: str, owner: str, ttl_seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already held by ``owner``."""
        check_key(name)
        check_ttl(ttl_seconds)
        return await self._runner.write(lambda store: store.acquire(name, owner, ttl_seconds))

    async def campaign(self, name: str, owner: str, ttl_seconds: float, timeout_seconds: float) -> Lease:
        """Wait for the lease."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while True:
            # Reading first: a refused acquisition would take the write lock of every other contender.
            held = await self.holder(name)
            if held is None or held.owner == owner:
                lease = await self.acquire(name, owner, ttl_seconds)
                if lease is not None:
                    return lease
            remaining_seconds = deadline - clock()
            if remaining_seconds <= 0:
                raise HyperscaleError(ErrorReason.DEADLINE_EXCEEDED, metadata={"lease": name})
            await asyncio.sleep(min(_CAMPAIGN_POLL_SECONDS, remaining_seconds))

    async def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        """Move the expiry of a lease that is still held."""
        check_ttl(ttl_seconds)
        return await self._runner.write(lambda store: store.renew(lease, ttl_seconds))

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing if it is already lost."""
        await self._runner.write(lambda store: store.release(lease))

    async def holder(self, name: str) -> Lease | None:
        """The unexpired lease of the name, if any."""
        return await self._runner.read(lambda store: store.holder(name))

    async def get(self, key: str) -> Entry | None:
        """The entry of the key, if any."""
        return await self._runner.read(lambda store: store.get(key))

    async def list(self, prefix: str, limit: int = 1000, after: str | None = None) -> tuple[Entry, ...]:
        """Entries in key order."""
        return await self._runner.read(lambda store: store.list(prefix, limit, after))

    async def commit(self, writes: Sequence[Write], guard: Lease | None = None) -> int:
        """Apply all writes or none."""
        checked = tuple(writes)
        check_writes(checked)
        return await self._runner.write(lambda store: store.commit(checked, guard))

    async def put(
        self,
        key: str,
        value: bytes,
        expect: Expectation = None,
        guard: Lease | None = None,
        ttl_seconds: float | None = None,
    ) -> int:
        """Commit one `Put`."""
        return await self.commit([Put(key, value, expect, ttl_seconds)], guard)

    async def delete(self, key: str, expect: Expectation = None, guard: Lease | None = None) -> bool:
        """Commit one `Delete`; returns whether the key existed."""
        writes = (Delete(key, expect),)
        check_writes(writes)

        def remove(store: Store) -> bool:
            existed = store.get(key) is not None
            store.commit(writes, guard)
            return existed

        return await self._runner.write(remove)

    async def revision(self) -> int:
        """Revision of the latest commit."""
        return await self._runner.read(lambda store: store.revision())

    async def watch(self, prefix: str, after_revision: int) -> AsyncGenerator[Change, None]:
        """Changes below ``prefix`` in order.

        Reads page by page from the change history of the store, so a slow consumer costs no memory: it either keeps up
        or is told with SEQUENCE_EXPIRED that it did not.
        """
        sequence = await self._runner.read(lambda store: store.sequence_after(after_revision))
        while not self._runner.closed:
            pulse = self._runner.pulse()
            page = await self._page(prefix, sequence)
            for change in page.changes:
                yield change
            if page.last_sequence == sequence:
                await self._runner.wait(pulse)
            sequence = page.last_sequence

    async def _page(self, prefix: str, sequence: int) -> ChangePage:
        return await self._runner.read(lambda store: store.changes(prefix, sequence, _WATCH_PAGE_CHANGES))

    async def close(self) -> None:
        """Let go of the store."""
        await self._runner.close()
