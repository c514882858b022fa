"""Judges the templates of a request: their syntax, and that everything they name is there when they are filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from google.protobuf.struct_pb2 import Value

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.feeds import FeedTable
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

    def judge(self, path: str, http: workflow_pb2.HttpRequest, variables: Collection[str]) -> None:
        """Note every fault of the templates in a request; `variables` are those that earlier steps have extracted."""
        self._request(path, http.url, _texts(path, http), variables)

    def judge_graphql(self, path: str, graphql: workflow_pb2.GraphqlRequest, variables: Collection[str]) -> None:
        """Note every fault of the templates in an operation, as `judge`."""
        self._request(path, graphql.url, _graphql_texts(path, graphql), variables)

    def _request(self, path: str, url: str, texts: Iterator[tuple[str, str]], variables: Collection[str]) -> None:
        for at, text in texts:
            if has_template(text):
                self._template(at, text, variables)
        if not is_path(url) and has_template(_fixed_part(url)):
            self._faults.add(f"{path}.url", "must not have a template in the scheme or host, only in path and query")

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


def missing_variable(name: str, variables: Collection[str]) -> str:
    """What is said of a variable that the job does not have."""
    return f"the job has no variable {name!r}{_there_are(variables)}; give it with `--var {name}=VALUE`"


def _there_are(names: Collection[str]) -> str:
    return f"; there are {', '.join(sorted(names))}" if names else ""


def _fixed_part(url: str) -> str:
    """Scheme and host of a URL, as far as they are there."""
    found = _FIXED_PART.match(url)
    return found[0] if found else url


def _texts(path: str, http: workflow_pb2.HttpRequest) -> Iterator[tuple[str, str]]:
    """Every text of a request that may be a template, with its path."""
    yield from _head_texts(path, http.url, http.headers)
    if http.HasField("text"):
        yield f"{path}.text", http.text
    if http.HasField("json"):
        yield from _json_texts(f"{path}.json", http.json)


def _graphql_texts(path: str, graphql: workflow_pb2.GraphqlRequest) -> Iterator[tuple[str, str]]:
    """As `_texts`, of an operation."""
    yield from _head_texts(path, graphql.url, graphql.headers)
    yield f"{path}.query", graphql.query
    yield from _json_texts(f"{path}.variables", graphql.variables)


def _head_texts(path: str, url: str, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield f"{path}.url", url
    for name in sorted(headers):
        yield f"{path}.headers[{name[:80]!r}]", headers[name]


def _json_texts(path: str, value: Value) -> Iterator[tuple[str, str]]:
    match value.WhichOneof("kind"):
        case "string_value":
            yield path, value.string_value
        case "struct_value":
            for key in sorted(value.struct_value.fields):
                yield from _json_texts(f"{path}.{key[:80]}", value.struct_value.fields[key])
        case "list_value":
            for index, entry in enumerate(value.list_value.values):
                yield from _json_texts(f"{path}[{index}]", entry)
        case _:
            return
