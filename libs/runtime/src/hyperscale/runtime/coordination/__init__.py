"""Durable agreement between nodes: keys with compare-and-set, leases with fencing tokens, ordered changes."""

from hyperscale.runtime.coordination.interface import Coordinator
from hyperscale.runtime.coordination.memory import MemoryStore, memory_coordinator
from hyperscale.runtime.coordination.opening import open_coordinator
from hyperscale.runtime.coordination.sqlite import sqlite_coordinator
from hyperscale.runtime.coordination.values import ABSENT, Absent, Change, Delete, Entry, Expectation, Lease, Put, Write
from hyperscale.runtime.errors import ConflictError, CoordinationUnavailableError, LeaseLostError

__all__ = [
    "ABSENT",
    "Absent",
    "Change",
    "ConflictError",
    "CoordinationUnavailableError",
    "Coordinator",
    "Delete",
    "Entry",
    "Expectation",
    "Lease",
    "LeaseLostError",
    "MemoryStore",
    "Put",
    "Write",
    "memory_coordinator",
    "open_coordinator",
    "sqlite_coordinator",
]
