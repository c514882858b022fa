"""Coordination in the memory of one process: for simulations and tests, by the rules of every other backend.

Nodes that coordinate share one `MemoryStore` and each open their own coordinator on it. The store outlives them, as a
file would, so a node can crash and come back.
"""

from __future__ import annotations

import asyncio
import bisect
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from hyperscale.runtime.coordination.store import ChangePage, Store, StoreCoordinator
from hyperscale.runtime.coordination.values import ABSENT, Change, Entry, Expectation, Lease, Put, Write, prefix_end
from hyperscale.runtime.errors import (
    ConflictError,
    CoordinationUnavailableError,
    ErrorReason,
    HyperscaleError,
    LeaseLostError,
)

ResultT = TypeVar("ResultT")

DEFAULT_HISTORY_CHANGES = 10_000
_MIN_WAIT_SECONDS = 0.01


class MemoryStore:
    """Keys, leases and the change history, on an injected wall clock.

    Parameters
    ----------
    clock
        Seconds; decides what has expired.
    history_changes
        How many changes are kept for watchers that lag behind.
    """

    def __init__(self, clock: Callable[[], float], history_changes: int = DEFAULT_HISTORY_CHANGES) -> None:
        self._clock = clock
        self._revision = 0
        self._entries: dict[str, Entry] = {}
        self._ordered_keys: list[str] = []
        self._expiries: dict[str, float] = {}
        # Never later than the earliest expiry, so that most calls need not look at each.
        self._next_expiry = math.inf
        self._leases: dict[str, Lease] = {}
        self._history: deque[Change] = deque(maxlen=history_changes)
        self._dropped_changes = 0
        self._dropped_revision = 0
        self._pulse = asyncio.Event()

    def acquire(self, name: str, owner: str, ttl_seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already held by ``owner``."""
        held = self.holder(name)
        if held is not None and held.owner != owner:
            return None
        self._forget_expired_leases()
        self._revision += 1
        lease = Lease(name, owner, self._revision, self._clock() + ttl_seconds)
        self._leases[name] = lease
        return lease

    def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        """Move the expiry of a lease that is still held."""
        self._require(lease)
        renewed = replace(lease, expires_at=self._clock() + ttl_seconds)
        self._leases[lease.name] = renewed
        return renewed

    def release(self, lease: Lease) -> None:
        """Give the lease up."""
        held = self._leases.get(lease.name)
        if held is not None and held.token == lease.token:
            del self._leases[lease.name]

    def holder(self, name: str) -> Lease | None:
        """The unexpired lease of the name."""
        lease = self._leases.get(name)
        return lease if lease is not None and lease.expires_at > self._clock() else None

    def get(self, key: str) -> Entry | None:
        """The unexpired entry of the key."""
        return self._entries.get(key)

    def list(self, prefix: str, limit: int, after: str | None) -> tuple[Entry, ...]:
        """Entries in key order."""
        keys = self._ordered_keys
        first = bisect.bisect_left(keys, prefix)
        if after is not None:
            first = max(first, bisect.bisect_right(keys, after))
        end = bisect.bisect_left(keys, prefix_end(prefix))
        return tuple(self._entries[key] for key in keys[first : min(end, first + limit)])

    def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
        """Apply all writes or none."""
        if guard is not None:
            self._require(guard)
        for write in writes:
            self._check(write.key, write.expect)
        self._revision += 1
        for write in writes:
            self._apply(write)
        self.wake()
        return self._revision

    def revision(self) -> int:
        """Revision of the latest commit or acquisition."""
        return self._revision

    def sequence_after(self, revision: int) -> int:
        """Number of the last change made at or before a revision."""
        if revision < self._dropped_revision:
            raise _expired(revision)
        kept = sum(1 for change in self._history if change.revision <= revision)
        return self._dropped_changes + kept

    def changes(self, prefix: str, after_sequence: int, limit: int) -> ChangePage:
        """A page of the changes below a prefix."""
        start = after_sequence - self._dropped_changes
        if start < 0:
            raise _expired(after_sequence)
        page = [self._history[index] for index in range(start, min(len(self._history), start + limit))]
        matching = tuple(change for change in page if change.key.startswith(prefix))
        return ChangePage(matching, after_sequence + len(page))

    def expire(self) -> None:
        """Remove what is past its time to live, as one commit."""
        now = self._clock()
        if now < self._next_expiry:
            return
        expired = [key for key, expires_at in self._expiries.items() if expires_at <= now]
        for key in expired:
            del self._expiries[key]
        self._next_expiry = min(self._expiries.values(), default=math.inf)
        if not expired:
            return
        self._revision += 1
        for key in sorted(expired):
            self._remove(key)
        self.wake()

    def seconds_to_expiry(self) -> float:
        """Seconds until an entry may expire; infinite if none will."""
        return self._next_expiry - self._clock()

    def pulse(self) -> asyncio.Event:
        """An event that the next change sets."""
        return self._pulse

    def wake(self) -> None:
        """Make every watcher look again."""
        self._pulse.set()
        self._pulse = asyncio.Event()

    def _forget_expired_leases(self) -> None:
        now = self._clock()
        for name in [name for name, lease in self._leases.items() if lease.expires_at <= now]:
            del self._leases[name]

    def _require(self, lease: Lease) -> None:
        held = self.holder(lease.name)
        if held is None or held.token != lease.token:
            raise LeaseLostError(lease.name, lease.token)

    def _check(self, key: str, expect: Expectation) -> None:
        if expect is None:
            return
        entry = self._entries.get(key)
        actual = ABSENT if entry is None else entry.revision
        if actual != expect:
            raise ConflictError(key)

    def _apply(self, write: Write) -> None:
        if not isinstance(write, Put):
            self._remove(write.key)
            return
        if write.key not in self._entries:
            bisect.insort(self._ordered_keys, write.key)
        self._entries[write.key] = Entry(write.key, write.value, self._revision)
        self._expiries.pop(write.key, None)
        if write.ttl_seconds is not None:
            expires_at = self._clock() + write.ttl_seconds
            self._expiries[write.key] = expires_at
            self._next_expiry = min(self._next_expiry, expires_at)
        self._remember(Change(write.key, write.value, self._revision))

    def _remove(self, key: str) -> None:
        if self._entries.pop(key, None) is None:
            return
        self._expiries.pop(key, None)
        del self._ordered_keys[bisect.bisect_left(self._ordered_keys, key)]
        self._remember(Change(key, None, self._revision))

    def _remember(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._dropped_changes += 1
            self._dropped_revision = self._history[0].revision
        self._history.append(change)


class _MemoryRunner:
    """Runs calls at once; one per node, so that closing one node leaves the others alone."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._closed = False

    async def read(self, call: Callable[[Store], ResultT]) -> ResultT:
        return self._run(call)

    async def write(self, call: Callable[[Store], ResultT]) -> ResultT:
        return self._run(call)

    def pulse(self) -> asyncio.Event:
        return self._store.pulse()

    async def wait(self, pulse: asyncio.Event) -> None:
        # A store whose clock stands still while the loop's runs must not be polled without pause.
        timeout_seconds = max(_MIN_WAIT_SECONDS, self._store.seconds_to_expiry())
        try:
            async with asyncio.timeout(None if math.isinf(timeout_seconds) else timeout_seconds):
                await pulse.wait()
        except TimeoutError:
            return

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        self._closed = True
        self._store.wake()

    def _run(self, call: Callable[[Store], ResultT]) -> ResultT:
        if self.closed:
            raise CoordinationUnavailableError("the coordinator is closed")
        self._store.expire()
        return call(self._store)


def memory_coordinator(store: MemoryStore) -> StoreCoordinator:
    """Open one node's coordinator on a shared store."""
    return StoreCoordinator(_MemoryRunner(store))


def _expired(position: int) -> HyperscaleError:
    return HyperscaleError(ErrorReason.SEQUENCE_EXPIRED, metadata={"sequence": str(position)})
