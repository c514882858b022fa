"""What every coordination store promises, proven on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hyperscale.runtime.coordination import (
    ABSENT,
    Change,
    ConflictError,
    CoordinationUnavailableError,
    Coordinator,
    Delete,
    Entry,
    Lease,
    LeaseLostError,
    Put,
    Write,
)
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from tests.conformance.conftest import Backend

DEADLINE_SECONDS = 60.0


async def acquired(store: Coordinator, name: str = "leader", owner: str = "a", ttl_seconds: float = 10) -> Lease:
    lease = await store.acquire(name, owner, ttl_seconds)
    assert lease is not None
    return lease


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    taken: list[Change] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(taken) < count:
            taken.append(await anext(changes))
    return taken


class TestLeases:
    async def test_a_held_lease_is_refused_to_others(self, store: Coordinator) -> None:
        lease = await acquired(store)
        assert await store.acquire("leader", "b", 10) is None
        assert await store.holder("leader") == lease

    async def test_names_are_independent(self, store: Coordinator) -> None:
        await acquired(store, "one")
        await acquired(store, "two", "b")

    @pytest.mark.requirement("AD-10.1")
    async def test_the_owner_that_acquires_again_gets_a_higher_token_and_loses_the_old_lease(
        self, store: Coordinator
    ) -> None:
        old = await acquired(store)
        new = await acquired(store)
        assert new.token > old.token
        with pytest.raises(LeaseLostError):
            await store.renew(old, 10)
        with pytest.raises(LeaseLostError):
            await store.put("key", b"value", guard=old)
        await store.put("key", b"value", guard=new)

    async def test_expiry_frees_the_name(self, backend: Backend, store: Coordinator) -> None:
        old = await acquired(store, ttl_seconds=5)
        backend.clock.advance(4.9)
        assert await store.acquire("leader", "b", 5) is None
        backend.clock.advance(0.1)
        assert await store.holder("leader") is None
        assert (await acquired(store, owner="b")).token > old.token

    async def test_renewal_moves_the_expiry_and_keeps_the_token(self, backend: Backend, store: Coordinator) -> None:
        lease = await acquired(store, ttl_seconds=5)
        backend.clock.advance(4)
        renewed = await store.renew(lease, 5)
        assert renewed.token == lease.token
        assert renewed.expires_at == lease.expires_at + 4
        backend.clock.advance(4)
        assert await store.holder("leader") == renewed
        await store.put("key", b"value", guard=lease)

    async def test_an_expired_lease_cannot_be_renewed(self, backend: Backend, store: Coordinator) -> None:
        lease = await acquired(store, ttl_seconds=5)
        backend.clock.advance(5)
        with pytest.raises(LeaseLostError) as lost:
            await store.renew(lease, 5)
        assert lost.value.token == lease.token

    async def test_release_frees_the_name_once(self, store: Coordinator) -> None:
        lease = await acquired(store)
        await store.release(lease)
        assert await store.holder("leader") is None
        other = await acquired(store, owner="b")
        await store.release(lease)
        assert await store.holder("leader") == other

    @pytest.mark.requirement("AD-10.1")
    async def test_tokens_rise_over_release_expiry_and_restart(self, backend: Backend) -> None:
        tokens: list[int] = []
        for round_number in range(12):
            store = backend.open()
            lease = await acquired(store, owner=f"node-{round_number}", ttl_seconds=5)
            tokens.append(lease.token)
            if round_number % 3 == 0:
                await store.release(lease)
            await store.close()
            backend.clock.advance(5)
        assert tokens == sorted(set(tokens))

    @pytest.mark.requirement("AD-10.1")
    async def test_one_of_many_concurrent_acquirers_wins(self, backend: Backend) -> None:
        stores = [backend.open() for _ in range(4)]
        leases = await asyncio.gather(
            *(stores[index % 4].acquire("leader", f"node-{index}", 10) for index in range(40))
        )
        winners = [lease for lease in leases if lease is not None]
        assert len(winners) == 1
        assert await stores[0].holder("leader") == winners[0]

    async def test_campaign_waits_for_a_release(self, backend: Backend) -> None:
        first, second = backend.open(), backend.open()
        lease = await acquired(first)
        campaign = asyncio.gather(second.campaign("leader", "b", 10, DEADLINE_SECONDS))
        await first.release(lease)
        (won,) = await campaign
        assert won.owner == "b"
        assert won.token > lease.token

    async def test_campaign_ends_at_its_deadline(self, store: Coordinator) -> None:
        await acquired(store)
        with pytest.raises(HyperscaleError) as refused:
            await store.campaign("leader", "b", 10, timeout_seconds=0.01)
        assert refused.value.reason is ErrorReason.DEADLINE_EXCEEDED

    @pytest.mark.parametrize("ttl_seconds", [0, -1, float("nan")])
    async def test_a_lease_needs_a_positive_time_to_live(self, store: Coordinator, ttl_seconds: float) -> None:
        with pytest.raises(ValueError, match="positive"):
            await store.acquire("leader", "a", ttl_seconds)


class TestKeys:
    async def test_what_was_put_is_there(self, store: Coordinator) -> None:
        revision = await store.put("job/1", b"\x00value")
        assert await store.get("job/1") == Entry("job/1", b"\x00value", revision)
        assert await store.get("job/2") is None
        assert await store.revision() == revision

    async def test_revisions_rise_with_every_commit(self, store: Coordinator) -> None:
        revisions = [await store.put("key", str(number).encode()) for number in range(5)]
        assert revisions == sorted(set(revisions))

    async def test_compare_and_set(self, store: Coordinator) -> None:
        first = await store.put("key", b"1", expect=ABSENT)
        with pytest.raises(ConflictError) as conflict:
            await store.put("key", b"2", expect=ABSENT)
        assert conflict.value.key == "key"
        second = await store.put("key", b"2", expect=first)
        with pytest.raises(ConflictError):
            await store.put("key", b"3", expect=first)
        with pytest.raises(ConflictError):
            await store.put("other", b"3", expect=second)
        assert await store.get("key") == Entry("key", b"2", second)

    async def test_concurrent_compare_and_set_lets_one_through(self, backend: Backend) -> None:
        stores = [backend.open() for _ in range(3)]
        outcomes = await asyncio.gather(
            *(stores[index % 3].put("key", str(index).encode(), expect=ABSENT) for index in range(30)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 29

    async def test_delete_says_whether_the_key_existed(self, store: Coordinator) -> None:
        revision = await store.put("key", b"1")
        with pytest.raises(ConflictError):
            await store.delete("key", expect=revision + 1)
        assert await store.delete("key", expect=revision) is True
        assert await store.delete("key") is False
        assert await store.get("key") is None
        await store.put("key", b"2", expect=ABSENT)

    async def test_list_is_ordered_bounded_and_paged(self, store: Coordinator) -> None:
        keys = [f"job/{number:03}" for number in range(7)]
        await store.commit([Put(key, key.encode()) for key in reversed(keys)])
        await store.commit([Put("job", b""), Put("job0", b""), Put("joc/1", b"")])
        listed: list[str] = []
        while page := await store.list("job/", limit=3, after=listed[-1] if listed else None):
            assert len(page) <= 3
            listed += [entry.key for entry in page]
        assert listed == keys

    async def test_keys_are_compared_by_code_point_and_never_as_patterns(self, store: Coordinator) -> None:
        keys = ["a%b", "a_b", "ab", "aé", "a漢", "a😀"]
        await store.commit([Put(key, b"") for key in keys])
        assert [entry.key for entry in await store.list("a")] == sorted(keys)
        assert [entry.key for entry in await store.list("a%")] == ["a%b"]

    async def test_an_entry_vanishes_after_its_time(self, backend: Backend, store: Coordinator) -> None:
        await store.commit([Put("key", b"1", ttl_seconds=5), Put("stays", b"1")])
        backend.clock.advance(4.9)
        assert await store.get("key") is not None
        backend.clock.advance(0.1)
        assert await store.get("key") is None
        assert [entry.key for entry in await store.list("")] == ["stays"]
        await store.put("key", b"2", expect=ABSENT)
        backend.clock.advance(100)
        assert await store.get("key") is not None

    @pytest.mark.parametrize("key", ["", "x" * 513, "line\nbreak", "\U0010ffff", "\ud800"])
    async def test_keys_that_cannot_be_ordered_and_printed_are_refused(self, store: Coordinator, key: str) -> None:
        with pytest.raises(ValueError, match="printable"):
            await store.put(key, b"")

    async def test_values_are_bytes(self, store: Coordinator) -> None:
        with pytest.raises(TypeError, match="bytes"):
            await store.commit([Put("a", b"1"), Put("b", "text")])  # type: ignore[arg-type]
        assert await store.get("a") is None

    async def test_a_large_value_is_kept(self, store: Coordinator) -> None:
        value = bytes(range(256)) * 4096 * 5
        await store.put("key", value)
        entry = await store.get("key")
        assert entry is not None
        assert entry.value == value


class TestCommits:
    async def test_all_keys_of_a_commit_share_its_revision(self, store: Coordinator) -> None:
        await store.put("gone", b"1")
        revision = await store.commit([Put("a", b"1"), Put("b", b"2"), Delete("gone")])
        assert await store.list("") == (Entry("a", b"1", revision), Entry("b", b"2", revision))

    @pytest.mark.parametrize("refused", [Put("b", b"2", expect=ABSENT), Delete("b", expect=999), Put("c", b"", 1)])
    async def test_one_conflict_refuses_the_whole_commit(self, store: Coordinator, refused: Write) -> None:
        before = await store.put("b", b"1")
        with pytest.raises(ConflictError):
            await store.commit([Put("a", b"1"), refused, Put("z", b"1")])
        assert await store.list("") == (Entry("b", b"1", before),)
        assert await store.revision() == before

    async def test_a_refused_commit_does_not_touch_its_neighbours(self, store: Coordinator) -> None:
        writes = [store.put(f"key/{number}", b"", expect=ABSENT) for number in range(20)]
        refused = [store.put("key/0", b"x", expect=12345) for _ in range(20)]
        await asyncio.gather(
            *(call for pair in zip(writes, refused, strict=True) for call in pair), return_exceptions=True
        )
        assert [entry.value for entry in await store.list("key/")] == [b""] * 20

    async def test_a_guarded_commit_after_the_loss_changes_nothing(self, backend: Backend) -> None:
        old_leader, new_leader = backend.open(), backend.open()
        old = await acquired(old_leader, ttl_seconds=5)
        await old_leader.put("state", b"old", guard=old)
        backend.clock.advance(5)
        with pytest.raises(LeaseLostError):
            await old_leader.put("state", b"late", guard=old)
        new = await acquired(new_leader, owner="b")
        with pytest.raises(LeaseLostError):
            await old_leader.commit([Put("state", b"late"), Delete("other")], guard=old)
        with pytest.raises(LeaseLostError):
            await old_leader.delete("state", guard=old)
        entry = await new_leader.get("state")
        assert entry is not None
        assert entry.value == b"old"
        await new_leader.put("state", b"new", guard=new)

    @pytest.mark.parametrize("writes", [[], [Put("a", b""), Delete("a")]])
    async def test_a_commit_writes_each_key_once(self, store: Coordinator, writes: list[Write]) -> None:
        with pytest.raises(ValueError, match="commit"):
            await store.commit(writes)

    async def test_a_commit_is_seen_by_every_node(self, backend: Backend) -> None:
        writer, reader = backend.open(), backend.open()
        revision = await writer.put("key", b"1")
        assert await reader.get("key") == Entry("key", b"1", revision)

    async def test_commits_outlive_the_node(self, backend: Backend) -> None:
        store = backend.open()
        revision = await store.put("key", b"1")
        await store.close()
        assert await backend.open().get("key") == Entry("key", b"1", revision)


class TestWatch:
    async def test_changes_arrive_in_order_and_only_below_the_prefix(self, backend: Backend) -> None:
        writer, reader = backend.open(), backend.open()
        first = await writer.put("job/1", b"1")
        changes = reader.watch("job/", 0)
        assert await take(changes, 1) == [Change("job/1", b"1", first)]
        await writer.put("other", b"")
        second = await writer.commit([Put("job/2", b"2"), Delete("job/1"), Delete("job/none")])
        assert await take(changes, 2) == [Change("job/2", b"2", second), Change("job/1", None, second)]

    async def test_a_watch_resumes_after_a_revision_without_a_gap(self, backend: Backend) -> None:
        store = backend.open()
        revisions = [await store.put(f"key/{number}", b"") for number in range(600)]
        resumed = await take(backend.open().watch("key/", revisions[99]), 500)
        assert [change.revision for change in resumed] == revisions[100:]

    async def test_a_new_watch_from_the_current_revision_sees_only_what_follows(self, store: Coordinator) -> None:
        await store.put("key", b"old")
        changes = store.watch("", await store.revision())
        (change,), revision = await asyncio.gather(take(changes, 1), store.put("key", b"new"))
        assert change == Change("key", b"new", revision)

    async def test_every_write_of_many_writers_is_seen_once(self, backend: Backend) -> None:
        writers = [backend.open() for _ in range(3)]
        changes = backend.open().watch("key/", 0)
        puts = asyncio.gather(*(writers[number % 3].put(f"key/{number}", b"") for number in range(90)))
        seen, revisions = await asyncio.gather(take(changes, 90), puts)
        assert [change.revision for change in seen] == sorted(revisions)
        assert {change.key for change in seen} == {f"key/{number}" for number in range(90)}

    async def test_expiry_is_a_change(self, backend: Backend, store: Coordinator) -> None:
        await store.put("key", b"1", ttl_seconds=5)
        changes = store.watch("key", 0)
        await take(changes, 1)
        backend.clock.advance(5)
        assert await store.get("key") is None
        (expired,) = await take(changes, 1)
        assert (expired.key, expired.value) == ("key", None)

    async def test_a_watch_ends_when_its_coordinator_closes(self, store: Coordinator) -> None:
        async def watched() -> list[Change]:
            return [change async for change in store.watch("", 0)]

        async with asyncio.timeout(DEADLINE_SECONDS):
            seen, _ = await asyncio.gather(watched(), _put_and_close(store))
        assert [change.key for change in seen] in ([], ["key"])

    @pytest.mark.parametrize("mode", ["fresh", "open"])
    async def test_a_watcher_too_far_behind_is_told_so(self, backend: Backend, mode: str) -> None:
        store = backend.open(history_changes=10)
        first = await store.put("key", b"0")
        changes = store.watch("key", 0)
        if mode == "open":
            await take(changes, 1)
        for number in range(40):
            await store.put("key", str(number).encode())
        with pytest.raises(HyperscaleError) as refused:
            await take(changes if mode == "open" else store.watch("key", first), 1)
        assert refused.value.reason is ErrorReason.SEQUENCE_EXPIRED
        recent = await store.revision() - 5
        assert len(await take(store.watch("key", recent), 5)) == 5


async def _put_and_close(store: Coordinator) -> None:
    await store.put("key", b"1")
    await store.close()


async def test_a_closed_coordinator_takes_no_calls(store: Coordinator) -> None:
    await store.close()
    await store.close()
    with pytest.raises(CoordinationUnavailableError):
        await store.get("key")
