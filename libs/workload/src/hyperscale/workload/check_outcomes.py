"""How often checks held, in a form that adds up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hyperscale.v1 import statistics_pb2 as pb


@dataclass(slots=True)
class CheckCounts:
    """How often a check held."""

    passes: int = 0
    fails: int = 0

    def count(self, *, held: bool) -> None:
        """Note one outcome."""
        if held:
            self.passes += 1
        else:
            self.fails += 1


@dataclass(slots=True)
class CheckOutcomes:
    """Outcomes by name of check."""

    by_name: dict[str, CheckCounts] = field(default_factory=dict)
    """In the order of the step."""

    @property
    def passes(self) -> int:
        """How often any check held."""
        return sum(counts.passes for counts in self.by_name.values())

    @property
    def total(self) -> int:
        """How often any check was made."""
        return self.passes + sum(counts.fails for counts in self.by_name.values())

    def check(self, name: str) -> CheckCounts:
        """The counts of a check, begun when there are none."""
        return self.by_name.setdefault(name, CheckCounts())

    def merge(self, other: CheckOutcomes) -> None:
        """Add other outcomes."""
        for name, counts in other.by_name.items():
            own = self.check(name)
            own.passes += counts.passes
            own.fails += counts.fails

    def to_proto(self) -> list[pb.CheckStats]:
        """The messages."""
        return [
            pb.CheckStats(name=name, passes=counts.passes, fails=counts.fails) for name, counts in self.by_name.items()
        ]

    @staticmethod
    def from_proto(messages: Iterable[pb.CheckStats]) -> CheckOutcomes:
        """The outcomes of messages."""
        outcomes = CheckOutcomes()
        for message in messages:
            outcomes.merge(CheckOutcomes({message.name: CheckCounts(message.passes, message.fails)}))
        return outcomes
