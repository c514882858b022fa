"""The rules of coordination as SQL over one connection. Synchronous; transactions belong to the caller.

Revisions and fencing tokens come from one counter that only grows and lives in the file, so a token is never given out
twice, whatever crashes. Expired leases can then be deleted without remembering the last token of each name.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hyperscale.runtime.coordination.store import ChangePage
from hyperscale.runtime.coordination.values import ABSENT, Change, Entry, Expectation, Lease, Put, Write, prefix_end
from hyperscale.runtime.errors import (
    ConflictError,
    CoordinationUnavailableError,
    ErrorReason,
    HyperscaleError,
    LeaseLostError,
)

SCHEMA_VERSION = 1
BUSY_TIMEOUT_SECONDS = 5.0
DEFAULT_HISTORY_CHANGES = 10_000
_MAX_HISTORY_BYTES = 64 * 1024 * 1024
_TRIM_SLACK = 1.1
_MAX_WAL_BYTES = 64 * 1024 * 1024
_WAL_RETRY_SECONDS = 0.02

_SCHEMA = (
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counters VALUES ('revision', 0), ('trimmed_revision', 0), ('trimmed_sequence', 0)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, expires_at REAL NOT NULL)",
    "CREATE INDEX leases_by_expiry ON leases (expires_at)",
    "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, expires_at REAL)",
    "CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL",
    (
        "CREATE TABLE changes (sequence INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL,"
        " key TEXT NOT NULL, value BLOB, bytes_so_far INTEGER NOT NULL)"
    ),
    "CREATE INDEX changes_by_revision ON changes (revision)",
)


class SqliteStore:
    """Keys, leases and the change history in one file that several processes share.

    Parameters
    ----------
    clock
        Wall clock in seconds; all processes of one machine read the same one. A step of it moves expiries, which the
        fencing tokens make harmless.
    history_changes
        How many changes are kept for watchers that lag behind.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Callable[[], float],
        history_changes: int = DEFAULT_HISTORY_CHANGES,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._history_changes = history_changes

    def acquire(self, name: str, owner: str, ttl_seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already held by ``owner``."""
        held = self.holder(name)
        if held is not None and held.owner != owner:
            return None
        lease = Lease(name, owner, self._next_revision(), self._clock() + ttl_seconds)
        self._run("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", name, owner, lease.token, lease.expires_at)
        return lease

    def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        """Move the expiry of a lease that is still held."""
        self._require(lease)
        renewed = replace(lease, expires_at=self._clock() + ttl_seconds)
        self._run("UPDATE leases SET expires_at = ? WHERE name = ?", renewed.expires_at, lease.name)
        return renewed

    def release(self, lease: Lease) -> None:
        """Give the lease up."""
        self._run("DELETE FROM leases WHERE name = ? AND token = ?", lease.name, lease.token)

    def holder(self, name: str) -> Lease | None:
        """The unexpired lease of the name."""
        row = self._run(
            "SELECT name, owner, token, expires_at FROM leases WHERE name = ? AND expires_at > ?", name, self._clock()
        ).fetchone()
        return None if row is None else Lease(*row)

    def get(self, key: str) -> Entry | None:
        """The unexpired entry of the key."""
        row = self._run(
            "SELECT key, value, revision FROM entries WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)",
            key,
            self._clock(),
        ).fetchone()
        return None if row is None else Entry(*row)

    def list(self, prefix: str, limit: int, after: str | None) -> tuple[Entry, ...]:
        """Entries in key order."""
        rows = self._run(
            "SELECT key, value, revision FROM entries WHERE key >= ? AND key < ? AND key > ?"
            " AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?",
            prefix,
            prefix_end(prefix),
            after or "",
            self._clock(),
            limit,
        )
        return tuple(Entry(*row) for row in rows)

    def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
        """Apply all writes or none."""
        if guard is not None:
            self._require(guard)
        for write in writes:
            self._check(write.key, write.expect)
        revision = self._next_revision()
        for write in writes:
            self._apply(write, revision)
        self._trim()
        return revision

    def revision(self) -> int:
        """Revision of the latest commit or acquisition."""
        return self._counter("revision")

    def sequence_after(self, revision: int) -> int:
        """Number of the last change made at or before a revision."""
        if revision < self._counter("trimmed_revision"):
            raise _expired(revision)
        row = self._run("SELECT max(sequence) FROM changes WHERE revision <= ?", revision).fetchone()
        return int(row[0]) if row[0] is not None else self._counter("trimmed_sequence")

    def changes(self, prefix: str, after_sequence: int, limit: int) -> ChangePage:
        """A page of the changes below a prefix."""
        if after_sequence < self._counter("trimmed_sequence"):
            raise _expired(after_sequence)
        rows = self._run(
            "SELECT sequence, key, value, revision FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?",
            after_sequence,
            limit,
        ).fetchall()
        matching = tuple(Change(key, value, revision) for _, key, value, revision in rows if key.startswith(prefix))
        return ChangePage(matching, rows[-1][0] if rows else after_sequence)

    def has_expired(self) -> bool:
        """Whether `expire` would remove something."""
        row = self._run(
            "SELECT EXISTS (SELECT 1 FROM leases WHERE expires_at <= ?1)"
            " OR EXISTS (SELECT 1 FROM entries WHERE expires_at <= ?1)",
            self._clock(),
        ).fetchone()
        return bool(row[0])

    def expire(self) -> None:
        """Remove what is past its time to live, as one commit."""
        now = self._clock()
        self._run("DELETE FROM leases WHERE expires_at <= ?", now)
        rows = self._run("SELECT key FROM entries WHERE expires_at <= ? ORDER BY key", now).fetchall()
        if not rows:
            return
        revision = self._next_revision()
        for (key,) in rows:
            self._remove(key, revision)
        self._trim()

    def _run(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, parameters)

    def _counter(self, name: str) -> int:
        return int(self._run("SELECT value FROM counters WHERE name = ?", name).fetchone()[0])

    def _next_revision(self) -> int:
        row = self._run("UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value").fetchone()
        return int(row[0])

    def _require(self, lease: Lease) -> None:
        held = self.holder(lease.name)
        if held is None or held.token != lease.token:
            raise LeaseLostError(lease.name, lease.token)

    def _check(self, key: str, expect: Expectation) -> None:
        if expect is None:
            return
        entry = self.get(key)
        actual = ABSENT if entry is None else entry.revision
        if actual != expect:
            raise ConflictError(key)

    def _apply(self, write: Write, revision: int) -> None:
        if not isinstance(write, Put):
            self._remove(write.key, revision)
            return
        expires_at = None if write.ttl_seconds is None else self._clock() + write.ttl_seconds
        self._run("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", write.key, write.value, revision, expires_at)
        self._remember(revision, write.key, write.value)

    def _remove(self, key: str, revision: int) -> None:
        if self._run("DELETE FROM entries WHERE key = ?", key).rowcount:
            self._remember(revision, key, None)

    def _remember(self, revision: int, key: str, value: bytes | None) -> None:
        self._run(
            "INSERT INTO changes (revision, key, value, bytes_so_far)"
            " SELECT ?, ?, ?, ? + coalesce((SELECT bytes_so_far FROM changes ORDER BY sequence DESC LIMIT 1), 0)",
            revision,
            key,
            value,
            len(key) + len(value or b""),
        )

    def _trim(self) -> None:
        """Keep the history bounded in changes and in bytes; in slices, so that most commits do not pay for it."""
        ends = self._run(
            "SELECT sequence, bytes_so_far FROM changes WHERE sequence IN"
            " ((SELECT min(sequence) FROM changes), (SELECT max(sequence) FROM changes)) ORDER BY sequence"
        ).fetchall()
        if not ends:
            return
        (first, first_bytes), (last, last_bytes) = ends[0], ends[-1]
        if (
            last - first < self._history_changes * _TRIM_SLACK
            and last_bytes - first_bytes <= _MAX_HISTORY_BYTES * _TRIM_SLACK
        ):
            return
        horizon = self._run(
            "SELECT sequence, revision FROM changes WHERE sequence <= ? OR bytes_so_far <= ?"
            " ORDER BY sequence DESC LIMIT 1",
            last - self._history_changes,
            last_bytes - _MAX_HISTORY_BYTES,
        ).fetchone()
        self._run("UPDATE counters SET value = ? WHERE name = 'trimmed_sequence'", horizon[0])
        self._run("UPDATE counters SET value = ? WHERE name = 'trimmed_revision'", horizon[1])
        self._run("DELETE FROM changes WHERE sequence <= ?", horizon[0])


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, creating it and its schema if needed; the connection may then move to another thread."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise CoordinationUnavailableError(f"cannot open {path}: {error}") from error
    try:
        _configure(connection)
        _create_schema(connection)
    except sqlite3.Error as error:
        connection.close()
        raise CoordinationUnavailableError(f"cannot open {path}: {error}") from error
    except CoordinationUnavailableError:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    _enter_wal(connection)
    # FULL, not NORMAL: in WAL mode NORMAL does not sync at commit, and a lease token or an acknowledged job that power
    # loss undoes would be given out twice.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switching the journal mode needs the file alone and ignores the busy timeout, so it is retried here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        version = cursor.fetchone()[0]
    if version == 0:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if version not in (0, SCHEMA_VERSION):
        raise CoordinationUnavailableError(f"schema version {version} found, this build reads {SCHEMA_VERSION}")


def _expired(position: int) -> HyperscaleError:
    return HyperscaleError(ErrorReason.SEQUENCE_EXPIRED, metadata={"sequence": str(position)})
