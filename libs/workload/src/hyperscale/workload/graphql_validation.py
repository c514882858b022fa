"""Judges the GraphQL operation of a step."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.graphql import envelope_of
from hyperscale.workload.http_validation import HttpJudge
from hyperscale.workload.json_values import is_json
from hyperscale.workload.limits import MAX_QUERY_LENGTH, check_length

_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,127}")


class GraphqlJudge:
    """Notes the faults of operations of one job; `http_judge` judges what they have in common with requests."""

    def __init__(self, faults: FaultCollector, http_judge: HttpJudge) -> None:
        self._faults = faults
        self._http_judge = http_judge

    def judge(self, path: str, graphql: workflow_pb2.GraphqlRequest) -> None:
        """Note every fault of an operation that stands at `path`."""
        self._http_judge.judge(path, envelope_of(graphql))
        if not graphql.query.strip():
            self._faults.add(f"{path}.query", "is required: a GraphQL document, such as '{ items { name } }'")
        check_length(self._faults, f"{path}.query", graphql.query, MAX_QUERY_LENGTH)
        if graphql.HasField("variables"):
            self._variables(f"{path}.variables", graphql)
        name = graphql.operation_name
        if name and not _NAME.fullmatch(name):
            self._faults.add(
                f"{path}.operation_name",
                f"must be a GraphQL name: a letter or '_', then letters, digits or '_', at most 128, not {name[:80]!r}",
            )

    def _variables(self, path: str, graphql: workflow_pb2.GraphqlRequest) -> None:
        if not is_json(graphql.variables):
            self._faults.add(path, "must be JSON: no infinite or undefined numbers, no value left out")
        elif not graphql.variables.HasField("struct_value"):
            self._faults.add(path, "must be a mapping from the names of variables to their values")
