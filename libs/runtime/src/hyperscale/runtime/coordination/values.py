"""What the coordination store holds and what can be done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

MAX_KEY_LENGTH = 512


class Absent(Enum):
    """Type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""Expectation that a key does not exist."""

Expectation: TypeAlias = int | Absent | None
"""Revision that a key must have, `ABSENT`, or None for any."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Exclusive ownership of a name until a moment of the wall clock.

    Attributes
    ----------
    token
        Fencing token: greater than the token of every earlier acquisition of the name, also after a crash.
    expires_at
        Seconds since the Unix epoch.
    """

    name: str
    owner: str
    token: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value and the revision of the commit that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key; it vanishes after ``ttl_seconds`` if given."""

    key: str
    value: bytes
    expect: Expectation = None
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; removing an absent key is no error unless ``expect`` says otherwise."""

    key: str
    expect: Expectation = None


Write: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """A key was written, or removed when ``value`` is None. All changes of one commit share its revision."""

    key: str
    value: bytes | None
    revision: int


def check_writes(writes: Sequence[Write]) -> None:
    """Refuse what no backend can apply: an empty commit, a key twice, a key that cannot be ordered and printed."""
    if not writes:
        raise ValueError("a commit needs at least one write")
    keys = [write.key for write in writes]
    if len(set(keys)) != len(keys):
        raise ValueError("a commit may write each key once")
    for write in writes:
        check_key(write.key)
        if isinstance(write, Put):
            _check_put(write)


def check_key(key: str) -> None:
    """Refuse keys that are empty, too long or not printable.

    Printable keys cannot hold U+10FFFF, which therefore bounds every prefix from above (see `prefix_end`).
    """
    if not key or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise ValueError(f"a key has 1 to {MAX_KEY_LENGTH} printable characters, got {key[:64]!r}")


def prefix_end(prefix: str) -> str:
    """First string after every valid key that starts with ``prefix``."""
    return prefix + "\U0010ffff"


def _check_put(put: Put) -> None:
    if not isinstance(put.value, bytes):
        raise TypeError(f"the value of {put.key!r} must be bytes, got {type(put.value).__name__}")
    if put.ttl_seconds is not None:
        check_ttl(put.ttl_seconds)


def check_ttl(ttl_seconds: float) -> None:
    """Refuse a time to live that is not positive."""
    if not ttl_seconds > 0:
        raise ValueError(f"ttl_seconds must be positive, got {ttl_seconds}")
