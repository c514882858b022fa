"""A process that fights for a lease and counts under its protection; prints the tokens it held."""

from __future__ import annotations

import asyncio
import sys

from hyperscale.runtime.coordination import ABSENT, Coordinator, Lease, open_coordinator


async def count_once(store: Coordinator, lease: Lease) -> None:
    entry = await store.get("counter")
    count, expect = (0, ABSENT) if entry is None else (int(entry.value), entry.revision)
    await store.put("counter", str(count + 1).encode(), expect=expect, guard=lease)
    await store.put(f"held/{count:06}", str(lease.token).encode(), expect=ABSENT, guard=lease)


async def main(url: str, owner: str, rounds: int) -> None:
    store = open_coordinator(url)
    for _ in range(rounds):
        lease = await store.campaign("leader", owner, ttl_seconds=30, timeout_seconds=60)
        await count_once(store, lease)
        await store.release(lease)
        print(lease.token, flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
