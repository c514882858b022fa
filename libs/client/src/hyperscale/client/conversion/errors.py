"""What can be wrong with a recording."""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.workload.faults import Fault


class ConversionError(ValueError):
    """The input cannot be converted; carries every fault found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
