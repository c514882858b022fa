import json
from typing import Any

import pytest

from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from tests.support.jobs import workflow


def faults_of(step: dict[str, Any], **fields: Any) -> dict[str, str]:
    job = {"target": "http://target.test", "workflows": [workflow("w", steps=[{"name": "a", **step}])], **fields}
    try:
        parse_job(json.dumps(job), DocumentFormat.JSON)
    except JobFileError as error:
        return {fault.path.removeprefix("workflows[0].steps[0]."): fault.message for fault in error.faults}
    return {}


def test_a_whole_operation_is_valid() -> None:
    graphql = {
        "url": "/graphql",
        "query": "query Q($id: ID!) { item(id: $id) { name } }",
        "variables": {"id": "{{uuid}}", "deep": {"list": [1, None]}},
        "operation_name": "Q",
        "headers": {"Authorization": "Bearer {{vu}}"},
        "timeout": "2s",
    }
    check = {"name": "named", "json": {"path": "$.data.item.name"}}
    assert faults_of({"graphql": graphql, "checks": [check]}) == {}


@pytest.mark.parametrize(
    ("graphql", "path", "reason"),
    [
        ({"query": "{ a }"}, "graphql.url", "is required"),
        ({"url": "/"}, "graphql.query", "is required"),
        ({"url": "/", "query": " "}, "graphql.query", "is required"),
        ({"url": "/", "query": "x" * 262_145}, "graphql.query", "at most 262144"),
        ({"url": "/", "query": "{ a }", "variables": [1]}, "graphql.variables", "must be a mapping"),
        ({"url": "/", "query": "{ a }", "operation_name": "a b"}, "graphql.operation_name", "GraphQL name"),
        ({"url": "/", "query": "{ a }", "headers": {"Host": "a"}}, "graphql.headers['Host']", "set by the engine"),
        ({"url": "/", "query": "{ a }", "timeout": "11m"}, "graphql.timeout", "at most 10m"),
        ({"url": "/", "query": "{ a }", "variables": {"a": "{{b}}"}}, "graphql.variables.a", "no earlier step"),
        ({"url": "/", "query": "{ a {{b}} }"}, "graphql.query", "no earlier step"),
        ({"url": "http://{{vu}}/", "query": "{ a }"}, "graphql.url", ""),
    ],
)
def test_faults_of_operations(graphql: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"graphql": graphql})
    assert reason in faults[path]
