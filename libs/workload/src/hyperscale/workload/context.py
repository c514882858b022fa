"""What coded workflows provide to those that depend on them, merged from everywhere; the last value of a name stays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hyperscale.v1.job_pb2 import ContextValue

MAX_CONTEXT_BYTES: Final = 1024 * 1024
"""All values of a job, as JSON, names included."""


class ContextTooLargeError(ValueError):
    """The values are larger than a job may provide."""


def size_of(values: Iterable[ContextValue]) -> int:
    """Bytes of values, names included."""
    return sum(len(value.name.encode()) + len(value.json.encode()) for value in values)


class ProvidedValues:
    """Values by name. The outcome does not depend on the order of merging."""

    def __init__(self) -> None:
        self._values: dict[str, ContextValue] = {}

    @property
    def size_bytes(self) -> int:
        """Names and values."""
        return size_of(self._values.values())

    def merge(self, values: Iterable[ContextValue]) -> None:
        """Add values; of two of a name the later one stays, at the same time that of the greater shard.

        Raises ContextTooLargeError, and is then of no use any more.
        """
        for value in values:
            known = self._values.get(value.name)
            if known is None or _rank(known) < _rank(value):
                self._values[value.name] = value
        if self.size_bytes > MAX_CONTEXT_BYTES:
            raise ContextTooLargeError(f"more than {MAX_CONTEXT_BYTES:,} bytes were provided to dependent workflows")

    def values(self) -> list[ContextValue]:
        """The values, by name."""
        return [self._values[name] for name in sorted(self._values)]


def _rank(value: ContextValue) -> tuple[float, str, str]:
    return value.at_seconds, value.shard_id, value.json
