"""Judges the templates of a step: their syntax, and that everything they name is there when they are filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from google.protobuf.message import Message

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.feeds import FeedTable
from hyperscale.workload.template_places import PlaceKind, places_of
from hyperscale.workload.templates import (
    VARIABLES,
    ColumnUse,
    Expression,
    TemplateSyntaxError,
    VariableUse,
    has_template,
    slots_of,
)
from hyperscale.workload.urls import is_path

_FIXED_PART: Final = re.compile(r"[A-Za-z]+://[^/?]*")


class TemplateJudge:
    """Notes the faults of templates in one workflow.

    Parameters
    ----------
    feeds
        The workflow's feeds by name; None for one that could not be read.
    job_variables
        Names of the job's variables.
    """

    def __init__(
        self, faults: FaultCollector, feeds: Mapping[str, FeedTable | None], job_variables: Collection[str]
    ) -> None:
        self._faults = faults
        self._feeds = feeds
        self._job_variables = job_variables

    def judge(self, path: str, action: Message, variables: Collection[str]) -> None:
        """Note every fault of the templates in a step's action; `variables` are those that earlier steps have extracted."""
        for place in places_of(action):
            if not has_template(place.text):
                continue
            self._template(f"{path}{place.path}", place.text, variables)
            is_absolute = place.kind is PlaceKind.URL and not is_path(place.text)
            if is_absolute and has_template(_fixed_part(place.text)):
                self._faults.add(
                    f"{path}{place.path}", "must not have a template in the scheme or host, only in path and query"
                )

    def _template(self, path: str, text: str, variables: Collection[str]) -> None:
        try:
            slots = slots_of(text)
        except TemplateSyntaxError as error:
            self._faults.add(path, f"template: {error}")
            return
        for slot in slots:
            fault = self._name_fault(slot.expression, variables)
            if fault:
                self._faults.add(path, f"template: {fault}")

    def _name_fault(self, expression: Expression, variables: Collection[str]) -> str | None:
        match expression:
            case VariableUse(name) if name not in variables:
                return f"no earlier step extracts {name!r}{_there_are(variables)}"
            case ColumnUse(feed, column) if feed == VARIABLES:
                return None if column in self._job_variables else missing_variable(column, self._job_variables)
            case ColumnUse(feed, column):
                return self._column_fault(feed, column)
            case _:
                return None

    def _column_fault(self, feed: str, column: str) -> str | None:
        if feed not in self._feeds:
            return f"the workflow has no feed {feed!r}{_there_are(self._feeds)}"
        table = self._feeds[feed]
        if table is None or column in table.columns:
            return None
        return f"feed {feed!r} has no column {column!r}{_there_are(table.columns)}"


def variables_in(step: workflow_pb2.Step) -> set[str]:
    """Names of the variables that a step's templates name. Raises TemplateSyntaxError, which validation tells of."""
    action = step.WhichOneof("action")
    places = places_of(getattr(step, action)) if action else ()
    expressions = (slot.expression for place in places if has_template(place.text) for slot in slots_of(place.text))
    return {expression.name for expression in expressions if isinstance(expression, VariableUse)}


def missing_variable(name: str, variables: Collection[str]) -> str:
    """What is said of a variable that the job does not have."""
    return f"the job has no variable {name!r}{_there_are(variables)}; give it with `--var {name}=VALUE`"


def _there_are(names: Collection[str]) -> str:
    return f"; there are {', '.join(sorted(names))}" if names else ""


def _fixed_part(url: str) -> str:
    """Scheme and host of a URL, as far as they are there."""
    found = _FIXED_PART.match(url)
    return found[0] if found else url
