"""What only the file-backed store promises: several processes, crashes, bounds on disk."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from hyperscale.runtime.coordination import (
    ABSENT,
    CoordinationUnavailableError,
    open_coordinator,
    sqlite_coordinator,
)
from hyperscale.runtime.coordination.sqlite_store import SqliteStore, connect
from hyperscale.runtime.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "coordination.db"


async def contend(path: Path, owner: str, rounds: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.conformance.contender",
        f"sqlite://{path}",
        owner,
        str(rounds),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.requirement("AD-10.1")
async def test_processes_take_turns_and_tokens_rise(path: Path) -> None:
    processes = await asyncio.gather(*(contend(path, f"node-{number}", rounds=8) for number in range(4)))
    async with asyncio.timeout(DEADLINE_SECONDS):
        outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    printed = {int(token) for stdout, _ in outputs for token in stdout.split()}
    store = open_coordinator(f"sqlite://{path}")
    counter = await store.get("counter")
    held = [int(entry.value) for entry in await store.list("held/")]
    await store.close()
    assert counter is not None
    assert int(counter.value) == 32
    assert held == sorted(printed)
    assert len(held) == 32


@pytest.mark.requirement("AD-10.1")
async def test_a_killed_process_loses_nothing_it_was_told_was_written(path: Path) -> None:
    process = await contend(path, "node", rounds=1000)
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        tokens = [int(await process.stdout.readline()) for _ in range(5)]
        process.kill()
        await process.wait()
    store = open_coordinator(f"sqlite://{path}")
    held = [int(entry.value) for entry in await store.list("held/")]
    lease = await store.acquire("leader", "node", 30)
    await store.close()
    assert held[:5] == tokens
    assert lease is not None
    assert lease.token > max(held)


async def test_a_watch_sees_what_another_process_writes(path: Path) -> None:
    store = open_coordinator(f"sqlite://{path}")
    changes = store.watch("held/", 0)
    process = await contend(path, "node", rounds=3)
    async with asyncio.timeout(DEADLINE_SECONDS):
        keys = [(await anext(changes)).key for _ in range(3)]
        await process.communicate()
    await store.close()
    assert keys == ["held/000000", "held/000001", "held/000002"]


async def test_expiry_reaches_watchers_though_nobody_calls(path: Path) -> None:
    store = sqlite_coordinator(path)
    await store.put("key", b"1", ttl_seconds=0.05)
    changes = store.watch("key", 0)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert [(await anext(changes)).value for _ in range(2)] == [b"1", None]
    await store.close()


async def test_the_file_does_not_grow_with_the_number_of_commits(path: Path) -> None:
    store = sqlite_coordinator(path, history_changes=100)
    for start in range(0, 3000, 300):
        await asyncio.gather(*(store.put(f"key/{number % 10}", b"x" * 100) for number in range(start, start + 300)))
        await asyncio.gather(*(store.acquire(f"lease/{start + number}", "a", 1e-9) for number in range(50)))
    await store.delete("key/0")
    await store.put("trim", b"", ttl_seconds=0.001)
    changes = store.watch("trim", await store.revision() - 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await anext(changes)).value is not None:
            pass
    await store.close()
    connection = sqlite3.connect(path)
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("changes", "leases", "entries")
    }
    connection.close()
    assert counts["changes"] <= 111
    assert counts["leases"] == 0
    assert counts["entries"] == 9


async def test_large_values_do_not_pile_up_in_the_history(path: Path) -> None:
    store = sqlite_coordinator(path)
    for _ in range(30):
        await store.put("key", bytes(5 * 1024 * 1024))
    await store.close()
    connection = sqlite3.connect(path)
    (size_bytes,) = connection.execute("SELECT sum(length(value)) FROM changes").fetchone()
    connection.close()
    assert size_bytes <= 1.2 * 64 * 1024 * 1024


async def test_concurrent_writes_share_transactions(path: Path) -> None:
    store = sqlite_coordinator(path)
    revisions = await asyncio.gather(*(store.put(f"key/{number}", b"", expect=ABSENT) for number in range(500)))
    assert revisions == sorted(set(revisions))
    assert len(await store.list("key/")) == 500
    await store.close()


async def test_calls_submitted_before_closing_are_finished(path: Path) -> None:
    store = sqlite_coordinator(path)
    *revisions, _ = await asyncio.gather(*(store.put(f"key/{number}", b"") for number in range(50)), store.close())
    assert len(revisions) == 50
    again = sqlite_coordinator(path)
    assert len(await again.list("key/")) == 50
    await again.close()


async def test_a_caller_that_gives_up_does_not_disturb_the_others(path: Path) -> None:
    store = sqlite_coordinator(path)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await store.put("impatient", b"")
    await store.put("patient", b"")
    assert await store.get("patient") is not None
    await store.close()


async def test_a_bug_ends_neither_other_calls_nor_the_thread_that_runs_them(path: Path) -> None:
    """It is met twice: by a call, and before or after it by the first look for what has expired."""
    faults = iter((ZeroDivisionError(), ZeroDivisionError()))

    def clock() -> float:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return 1.0

    store = sqlite_coordinator(path, clock)
    with pytest.raises(ZeroDivisionError):
        await store.acquire("leader", "a", 10)
    async with asyncio.timeout(30):
        assert await store.acquire("leader", "a", 10) is not None
    await store.close()


@pytest.mark.parametrize("step", ["has_expired", "expire"])
@pytest.mark.parametrize("fault", [KeyError("bug"), ValueError("bug"), sqlite3.OperationalError("disk")])
async def test_what_keeps_expired_things_from_being_removed_is_told_of_once_as_long_as_it_lasts(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fault: Exception
) -> None:
    attempts = 0

    def fail(store: SqliteStore) -> bool:
        nonlocal attempts
        attempts += 1
        raise fault

    with capture_logs() as lines, monkeypatch.context() as patched:
        patched.setattr(SqliteStore, step, fail)
        store = sqlite_coordinator(path)
        await store.put("key", b"1", ttl_seconds=0.01)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while attempts < 3:
                await asyncio.sleep(0.02)
        await store.close()

    (line,) = lines
    assert (line["event"], line["log_level"]) == ("what has expired cannot be removed", "error")
    assert fault in (line["exc_info"], line["exc_info"].__cause__)


async def test_a_write_locked_out_for_too_long_is_unavailable_and_later_calls_work(path: Path) -> None:
    store = sqlite_coordinator(path)
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(CoordinationUnavailableError) as unavailable:
        await store.put("key", b"1")
    intruder.execute("ROLLBACK")
    intruder.close()
    assert "locked" in unavailable.value.detail
    assert "locked" not in unavailable.value.message
    await store.put("key", b"1", expect=ABSENT)
    await store.close()


class SteppedQueue(queue.Queue[Any]):
    """One whose reader waits for as long as the test wants, instead of the time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self._meant: queue.Queue[float] = queue.Queue()
        self._turns = threading.Semaphore(0)
        self._is_stepped = True

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if timeout is None or not self._is_stepped:
            return super().get(block, timeout)
        self._meant.put(timeout)
        self._turns.acquire()
        return super().get(block=False)

    def let_pass(self, waits: int) -> list[float]:
        """Let the reader wait so many times; how long it meant to."""
        meant = []
        for _ in range(waits):
            meant.append(self._meant.get(timeout=DEADLINE_SECONDS))
            self._turns.release()
        return meant

    def run_free(self) -> None:
        self._is_stepped = False
        self._turns.release()


async def test_a_file_that_nobody_changes_is_looked_at_less_often_and_soon_again_after_a_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, calls = sqlite_coordinator(path), SteppedQueue()
    stepped = SimpleNamespace(Queue=lambda _: calls, Empty=queue.Empty, Full=queue.Full)
    monkeypatch.setattr("hyperscale.runtime.coordination.sqlite.queue", stepped)
    store = sqlite_coordinator(path)
    calls.let_pass(5)
    assert calls.let_pass(20) == [0.25] * 20
    await other.put("key", b"1")
    assert calls.let_pass(6) == [0.25, 0.05, 0.1, 0.2, 0.25, 0.25]
    calls.run_free()
    await asyncio.gather(store.close(), other.close())


async def test_a_disk_that_does_not_answer_is_unavailable_and_what_has_begun_is_finished(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def clock() -> float:
        answers.wait(DEADLINE_SECONDS)
        return 1.0

    store = sqlite_coordinator(path, clock)
    async with asyncio.timeout(DEADLINE_SECONDS / 2):
        with monkeypatch.context() as impatient:
            impatient.setattr("hyperscale.runtime.coordination.sqlite._ANSWER_SECONDS", 0.05)
            with pytest.raises(CoordinationUnavailableError):
                await store.acquire("leader", "a", 10)
            with pytest.raises(CoordinationUnavailableError):
                await store.close()
        answers.set()
        await store.close()
    again = sqlite_coordinator(path, clock)
    assert await again.acquire("leader", "b", 10) is None
    await again.close()


async def test_a_file_of_a_newer_schema_is_refused(path: Path) -> None:
    await sqlite_coordinator(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CoordinationUnavailableError) as refused:
        sqlite_coordinator(path)
    assert "99" in refused.value.detail


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(CoordinationUnavailableError):
        sqlite_coordinator(path)


def test_a_commit_reaches_the_disk_before_it_returns(path: Path) -> None:
    connection = connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    connection.close()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite://host/path", "etcd://host:2379", "memory://shared", "/path"])
def test_urls_that_name_no_store_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="coordination_url"):
        open_coordinator(url)


async def test_the_memory_url_opens_a_store_of_its_own() -> None:
    one, other = open_coordinator("memory://"), open_coordinator("memory://")
    await one.put("key", b"1")
    assert await other.get("key") is None
    await one.close()
    await other.close()
