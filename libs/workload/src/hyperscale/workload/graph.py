"""Which workflow waits for which."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.limits import MAX_DEPENDENCIES


class WorkflowGraph:
    """Dependencies between the workflows of a job, by name.

    A name that occurs twice stands for its first workflow, and of an endless list only the first `MAX_DEPENDENCIES` are
    looked at: validation refuses both.
    """

    def __init__(self, workflows: Iterable[Workflow]) -> None:
        self._dependencies: dict[str, tuple[str, ...]] = {}
        self._positions: dict[str, int] = {}
        for position, workflow in enumerate(workflows):
            if workflow.name not in self._positions:
                self._positions[workflow.name] = position
                self._dependencies[workflow.name] = tuple(workflow.depends_on[:MAX_DEPENDENCIES])

    def faults(self) -> list[Fault]:
        """Dependencies on nothing, on oneself, twice, or in a circle; paths start at ``workflows``."""
        faults = FaultCollector()
        for name in self._dependencies:
            for path, message in self._entry_faults(name):
                faults.add(path, message)
        for cycle in self._cycles():
            path = f"workflows[{self._positions[cycle[0]]}].depends_on"
            faults.add(path, f"workflows wait for each other: {' -> '.join(cycle)}")
        return faults.faults()

    def ready(self, done: Collection[str]) -> list[str]:
        """Workflows that are not done and wait for nothing that is not; started ones included, in the job's order."""
        return [
            name
            for name, dependencies in self._dependencies.items()
            if name not in done and all(dependency in done for dependency in dependencies)
        ]

    def dependents_of(self, name: str) -> set[str]:
        """Workflows that wait for `name`, directly or through others."""
        found: set[str] = set()
        waiting = deque([name])
        while waiting:
            current = waiting.popleft()
            direct = {other for other, needed in self._dependencies.items() if current in needed} - found
            found |= direct
            waiting.extend(direct)
        return found

    def _entry_faults(self, name: str) -> Iterator[tuple[str, str]]:
        dependencies = self._dependencies[name]
        seen: set[str] = set()
        for index, dependency in enumerate(dependencies):
            path = f"workflows[{self._positions[name]}].depends_on[{index}]"
            if dependency == name:
                yield path, "a workflow cannot wait for itself"
            elif dependency not in self._dependencies:
                yield path, f"there is no workflow {dependency[:64]!r}"
            elif dependency in seen:
                yield path, f"{dependency!r} is listed twice"
            seen.add(dependency)

    def _cycles(self) -> Iterator[list[str]]:
        """Circles without a workflow in common, in the order of waiting from the earliest; oneself is none."""
        remaining = {
            name: {needed for needed in dependencies if needed != name and needed in self._dependencies}
            for name, dependencies in self._dependencies.items()
        }
        while True:
            try:
                TopologicalSorter(remaining).prepare()
            except CycleError as error:
                in_cycle: list[str] = error.args[1][:0:-1]
                first = in_cycle.index(min(in_cycle, key=self._positions.__getitem__))
                yield [*in_cycle[first:], *in_cycle[: first + 1]]
                remaining = {
                    name: needed.difference(in_cycle) for name, needed in remaining.items() if name not in in_cycle
                }
            else:
                return
