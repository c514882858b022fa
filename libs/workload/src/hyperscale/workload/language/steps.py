"""Steps: coroutines of a workflow's class, ordered by what they come after."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, TypeVar

from hyperscale.workload.language.errors import WorkflowDefinitionError
from hyperscale.workload.language.metrics import Metric

StepT = TypeVar("StepT", bound=Callable[..., Awaitable["Metric | None"]])

_ATTRIBUTE: Final = "hyperscale_step"


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """What `step` was told."""

    name: str
    after: tuple[str, ...]
    timeout_seconds: float | None
    """None: the workflow's."""


def step(*after: str, name: str = "", timeout_seconds: float | None = None) -> Callable[[StepT], StepT]:
    """Make a coroutine a step of its workflow.

    Parameters
    ----------
    after
        Names of steps that come before. Steps that are in no relation run in the order in which they are written.
    name
        Name in results; default: that of the coroutine.
    timeout_seconds
        Longest time for one run of the step; default: `Workflow.timeout_seconds`.
    """
    if after and callable(after[0]):
        raise WorkflowDefinitionError("write @step() with parentheses")

    def mark(function: StepT) -> StepT:
        is_coroutine = inspect.iscoroutinefunction(function)
        if not is_coroutine:
            raise WorkflowDefinitionError(f"step {function.__qualname__} must be written as `async def`")
        setattr(function, _ATTRIBUTE, StepDefinition(name or function.__name__, after, timeout_seconds))
        return function

    return mark


def is_step(function: object) -> bool:
    """Whether a function is marked as a step."""
    return isinstance(getattr(function, _ATTRIBUTE, None), StepDefinition)


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A step of a class."""

    definition: StepDefinition
    attribute: str
    """Name of the coroutine."""


def ordered_steps(workflow_class: type) -> list[BoundStep]:
    """The steps of a class in the order in which they are run. Raises WorkflowDefinitionError when there is none."""
    found = {bound.definition.name: bound for bound in _steps_of(workflow_class)}
    for bound in found.values():
        for name in bound.definition.after:
            if name not in found:
                known = ", ".join(found)
                raise WorkflowDefinitionError(
                    f"step {bound.definition.name!r} of {workflow_class.__name__} comes after {name!r}, "
                    f"which is no step of it: {known}"
                )
    positions = {name: position for position, name in enumerate(found)}
    sorter = TopologicalSorter({name: bound.definition.after for name, bound in found.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise WorkflowDefinitionError(f"steps of {workflow_class.__name__} wait for each other: {circle}") from error
    order: list[BoundStep] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=positions.__getitem__)
        order.append(found[ready[0]])
        sorter.done(ready.pop(0))
    return order


def _steps_of(workflow_class: type) -> list[BoundStep]:
    attributes: dict[str, Any] = {}
    for base in reversed(workflow_class.__mro__):
        attributes.update(vars(base))
    return [
        BoundStep(definition, attribute)
        for attribute, value in attributes.items()
        if isinstance(definition := getattr(value, _ATTRIBUTE, None), StepDefinition)
    ]
