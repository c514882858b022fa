"""Coordination through one SQLite file: every node on one machine, no server to run.

One thread per process owns the connection. It takes everything that is waiting, runs it in one transaction and answers
after the commit, so that concurrent writers share the cost of reaching the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from hyperscale.runtime.coordination.sqlite_store import DEFAULT_HISTORY_CHANGES, SqliteStore, connect
from hyperscale.runtime.coordination.store import Store, StoreCoordinator
from hyperscale.runtime.errors import CoordinationUnavailableError, HyperscaleError
from hyperscale.runtime.logs import get_logger

ResultT = TypeVar("ResultT")

_logger = get_logger("coordination")
_MAX_WAITING_CALLS = 10_000
_MAX_BATCH_CALLS = 256
_LEAST_POLL_SECONDS = 0.05
_MOST_POLL_SECONDS = 0.25
"""How long after a commit of another process it is noticed at the latest: soon while something happens, later while nothing does."""
_EXPIRY_CHECK_SECONDS = 0.5
_ANSWER_SECONDS = 30.0
"""Longer than other processes can lock the file out for; a disk that takes longer may never answer."""
_CALLER_ERRORS = (
    HyperscaleError,
    ValueError,
    TypeError,
    OverflowError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


@dataclass(slots=True)
class _Call:
    """Something to run on the store, and who waits for its outcome."""

    run: Callable[[SqliteStore], Any]
    writes: bool
    answer: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        """Answer with the outcome; only called once it is durable."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class _SqliteThread:
    """Owns the connection; groups waiting calls into transactions; notices what other processes commit."""

    def __init__(self, connection: sqlite3.Connection, store: SqliteStore, on_change: Callable[[], None]) -> None:
        self._connection = connection
        self._store = store
        self._on_change = on_change
        self._calls: queue.Queue[_Call | None] = queue.Queue(_MAX_WAITING_CALLS)
        self._stopping = False
        self._data_version = 0
        self._poll_seconds = _LEAST_POLL_SECONDS
        self._next_expiry_check = 0.0
        self._expiry_fails = False
        self.stopped: Future[None] = Future()
        threading.Thread(target=self._serve, name="coordination-sqlite", daemon=True).start()

    def submit(self, call: _Call) -> None:
        """Queue a call; refused when more wait than the disk would do in any useful time."""
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            raise CoordinationUnavailableError(f"{_MAX_WAITING_CALLS} calls are already waiting") from None

    def stop(self) -> None:
        """Finish what was submitted, then close the file and resolve ``stopped``."""
        self._calls.put(None)

    def _serve(self) -> None:
        try:
            while not self._stopping:
                batch = self._next_batch()
                if batch:
                    self._execute(batch)
                self._poll_seconds = min(2 * self._poll_seconds, _MOST_POLL_SECONDS)
                self._notice_other_processes()
                self._expire_when_due()
        finally:
            self._connection.close()
            self.stopped.set_result(None)

    def _next_batch(self) -> list[_Call]:
        batch: list[_Call] = []
        with contextlib.suppress(queue.Empty):
            call = self._calls.get(timeout=self._poll_seconds)
            while call is not None:
                # Marks the call as begun: from here a caller that gives up can no longer withdraw it.
                if call.answer.set_running_or_notify_cancel():
                    batch.append(call)
                if len(batch) == _MAX_BATCH_CALLS:
                    return batch
                call = self._calls.get_nowait()
            self._stopping = True
        return batch

    def _execute(self, batch: list[_Call]) -> None:
        """Run the batch as one transaction: each call by itself may be refused, the disk fails them all."""
        writes = any(call.writes for call in batch)
        try:
            self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            for call in batch:
                self._attempt(call)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            for call in batch:
                call.error = CoordinationUnavailableError(f"sqlite: {error}")
                call.error.__cause__ = error
        for call in batch:
            call.deliver()
        if writes:
            self._on_change()

    def _attempt(self, call: _Call) -> None:
        # The savepoint keeps a call that fails half way from leaving its first half to the commit of the others.
        self._connection.execute("SAVEPOINT call")
        try:
            call.result = call.run(self._store)
        except _CALLER_ERRORS as error:
            call.error = error
            self._connection.execute("ROLLBACK TO call")
        except sqlite3.Error:
            raise
        except Exception as error:
            # A bug met by one call must not end the thread that all others wait for.
            call.answer.set_exception(error)
            self._connection.execute("ROLLBACK TO call")
        self._connection.execute("RELEASE call")

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _notice_other_processes(self) -> None:
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            # Whoever watches reads again and meets the error where it can be handled.
            version = self._data_version + 1
        if version != self._data_version:
            self._data_version = version
            self._poll_seconds = _LEAST_POLL_SECONDS
            self._on_change()

    def _expire_when_due(self) -> None:
        now = time.monotonic()
        if now < self._next_expiry_check or self._stopping:
            return
        self._next_expiry_check = now + _EXPIRY_CHECK_SECONDS
        call = _Call(SqliteStore.has_expired, writes=False)
        self._execute([call])
        if call.result:
            call = _Call(SqliteStore.expire, writes=True)
            self._execute([call])
        self._tell_of_expiry(call.answer.exception())

    def _tell_of_expiry(self, error: BaseException | None) -> None:
        # Nobody waits for this, and it is tried again twice a second: it is told of when it begins to fail.
        if error is not None and not self._expiry_fails:
            _logger.error("what has expired cannot be removed", error=repr(error), exc_info=error)
        self._expiry_fails = error is not None


class _SqliteRunner:
    """The event loop's side of the thread."""

    def __init__(self, connection: sqlite3.Connection, store: SqliteStore) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pulse = asyncio.Event()
        self._closed = False
        self._thread = _SqliteThread(connection, store, self._on_change)

    async def read(self, call: Callable[[Store], ResultT]) -> ResultT:
        return await self._submit(call, writes=False)

    async def write(self, call: Callable[[Store], ResultT]) -> ResultT:
        return await self._submit(call, writes=True)

    def pulse(self) -> asyncio.Event:
        self._loop = asyncio.get_running_loop()
        return self._pulse

    async def wait(self, pulse: asyncio.Event) -> None:
        await pulse.wait()

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._thread.stop()
        self._wake()
        await _answered(asyncio.shield(asyncio.wrap_future(self._thread.stopped)))

    async def _submit(self, run: Callable[[Store], ResultT], *, writes: bool) -> ResultT:
        if self._closed or self._thread.stopped.done():
            raise CoordinationUnavailableError("the coordinator is closed")
        call = _Call(run, writes)
        self._thread.submit(call)
        return cast("ResultT", await _answered(asyncio.wrap_future(call.answer)))

    def _on_change(self) -> None:
        """Called in the thread; wakes watchers, if there ever were any."""
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop may close in between
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._pulse.set()
        self._pulse = asyncio.Event()


async def _answered(answer: Awaitable[ResultT]) -> ResultT:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await answer
    except TimeoutError as error:
        raise CoordinationUnavailableError(f"sqlite: no answer within {_ANSWER_SECONDS:g} s") from error


def sqlite_coordinator(
    path: Path, clock: Callable[[], float] = time.time, history_changes: int = DEFAULT_HISTORY_CHANGES
) -> StoreCoordinator:
    """Open the file, creating it if needed. Blocks for as long as that takes, so call it while starting."""
    connection = connect(path)
    return StoreCoordinator(_SqliteRunner(connection, SqliteStore(connection, clock, history_changes)))
