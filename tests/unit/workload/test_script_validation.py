import json
from typing import Any

import pytest

from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from hyperscale.workload.overrides import JobOverrides
from tests.support.jobs import workflow

LOGIN = {
    "name": "login",
    "http": {"url": "/login", "method": "post"},
    "extract": [{"variable": "token", "json_path": "$.token"}],
}
USERS = {"name": "users", "csv": "name,password\nalice,secret\n"}


def faults_of(*steps: dict[str, Any], feeds: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, str]:
    job = {"target": "http://target.test", "workflows": [workflow("w", steps=steps, feeds=feeds or [], **fields)]}
    try:
        parse_job(json.dumps(job), DocumentFormat.JSON)
    except JobFileError as error:
        faults: dict[str, str] = {}
        for fault in error.faults:
            path = fault.path.removeprefix("workflows[0].")
            faults[path] = f"{faults[path]} / {fault.message}" if path in faults else fault.message
        return faults
    return {}


def test_everything_together_is_valid() -> None:
    me = {
        "name": "me",
        "http": {
            "url": "/me/{{users.name}}?n={{counter}}&at={{timestamp}}",
            "method": "put",
            "headers": {"Authorization": "Bearer {{token}}", "X-Id": "{{uuid}}"},
            "json": {"dice": ["{{random_int(1, 6) | raw}}"], "who": "{{users.name}} of {{vu}} in {{iteration}}"},
        },
        "checks": [
            {"name": "status is 200", "status": {"any_of": [200]}},
            {"name": "greets", "body_contains": "hello"},
            {"name": "matches", "body_matches": "hel+o"},
            {"name": "is alice", "json": {"path": "$.user", "equals": "alice"}},
            {"name": "has a list", "json": {"path": "$.items[0]"}},
            {"name": "is json", "header": {"name": "Content-Type", "matches": "^application/json"}},
            {"name": "fast", "max_duration": "200ms"},
        ],
        "extract": [
            {"variable": "status_seen", "status": True},
            {"variable": "etag", "header": "ETag", "default": ""},
            {"variable": "row", "regex": {"pattern": "row-(\\d+)", "group": 1}},
        ],
    }
    assert faults_of(LOGIN, me, feeds=[{**USERS, "mode": "unique", "pace": "user"}]) == {}


@pytest.mark.parametrize(
    ("http", "path", "reason"),
    [
        ({"url": "/{{id"}, "url", "not closed"),
        ({"url": "/{{id}}"}, "url", "no earlier step extracts 'id'"),
        ({"url": "/{{users.id}}"}, "url", "feed 'users' has no column 'id'; there are name, password"),
        ({"url": "/{{people.id}}"}, "url", "no feed 'people'; there are users"),
        ({"url": "http://{{users.name}}.test/"}, "url", "only in path and query"),
        ({"url": "{{users.name}}"}, "url", "must be an http:// or https:// URL"),
        ({"url": "/", "headers": {"X-A": "{{nothing}}"}}, "headers['X-A']", "no earlier step"),
        ({"url": "/", "text": "{{nothing}}"}, "text", "no earlier step"),
        ({"url": "/", "json": {"a": [{"b": "{{nothing}}"}]}}, "json.a[0].b", "no earlier step"),
    ],
)
def test_faults_of_templates_are_found_where_they_stand(http: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"name": "a", "http": http}, feeds=[USERS])
    assert reason in faults[f"steps[0].http.{path}"]


def test_a_variable_is_there_only_after_the_step_that_extracts_it() -> None:
    use = {"name": "me", "http": {"url": "/{{token}}"}}
    assert faults_of(LOGIN, use) == {}
    assert "no earlier step extracts 'token'" in faults_of(use, LOGIN)["steps[0].http.url"]
    itself = {**LOGIN, "http": {"url": "/{{token}}"}}
    assert "no earlier step extracts 'token'" in faults_of(itself)["steps[0].http.url"]


@pytest.mark.parametrize(
    ("extraction", "path", "reason"),
    [
        ({"variable": "a"}, "", "needs a source"),
        ({"variable": "1a", "status": True}, ".variable", "must be a letter"),
        ({"variable": "uuid", "status": True}, ".variable", "is a function"),
        ({"variable": "a", "status": False}, ".status", "must be true"),
        ({"variable": "a", "json_path": "token"}, ".json_path", "is not a JSONPath"),
        ({"variable": "a", "json_path": "$[?match(@.a, '(a+)+$')]"}, ".json_path", "is not a JSONPath"),
        ({"variable": "a", "regex": {"pattern": "("}}, ".regex.pattern", "is not an RE2 regular expression"),
        ({"variable": "a", "regex": {"pattern": "(?=x)"}}, ".regex.pattern", "is not an RE2 regular expression"),
        ({"variable": "a", "regex": {"pattern": "x", "group": 1}}, ".regex.group", "at most 0"),
        ({"variable": "a", "header": "a b"}, ".header", "is not a header name"),
        ({"variable": "a", "status": True, "default": "x" * 4097}, ".default", "at most 4096"),
    ],
)
def test_faults_of_extractions(extraction: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"name": "a", "http": {"url": "/"}, "extract": [extraction]})
    assert reason in faults[f"steps[0].extract[0]{path}"]


@pytest.mark.parametrize(
    ("check", "path", "reason"),
    [
        ({"name": "a"}, "", "needs a condition"),
        ({"status": {"any_of": [200]}}, ".name", "1 to 100 printable"),
        ({"name": "a", "status": {}}, ".status.any_of", "at least one"),
        ({"name": "a", "status": {"any_of": [99]}}, ".status.any_of[0]", "100 to 599"),
        ({"name": "a", "body_contains": ""}, ".body_contains", "must not be empty"),
        ({"name": "a", "body_matches": "["}, ".body_matches", "is not an RE2"),
        ({"name": "a", "json": {"path": ""}}, ".json.path", "is required"),
        ({"name": "a", "header": {"name": "x", "matches": "["}}, ".header.matches", "is not an RE2"),
        ({"name": "a", "max_duration": "0s"}, ".max_duration", "above 0s"),
    ],
)
def test_faults_of_checks(check: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"name": "a", "http": {"url": "/"}, "checks": [check]})
    assert reason in faults[f"steps[0].checks[0]{path}"]


def test_names_are_unique() -> None:
    check = {"name": "ok", "status": {"any_of": [200]}}
    step = {
        "name": "a",
        "http": {"url": "/"},
        "checks": [check, check],
        "extract": [*LOGIN["extract"], *LOGIN["extract"]],
    }
    assert set(faults_of(step, feeds=[USERS, USERS])) == {
        "feeds[1].name",
        "steps[0].checks[1].name",
        "steps[0].extract[1].variable",
    }


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"csv": "a,b\n1\n"}, ".csv", "line 2 has 1 values"),
        ({"json": [1]}, ".json", "list of objects"),
        ({}, "", "needs rows"),
        ({"csv": "a\n1\n", "recycle": True}, ".recycle", "is for mode UNIQUE"),
    ],
)
def test_faults_of_feeds(fields: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"name": "a", "http": {"url": "/"}}, feeds=[{"name": "users", **fields}])
    assert reason in faults[f"feeds[0]{path}"]


def test_the_share_of_the_data_is_not_for_people() -> None:
    step = {"name": "a", "http": {"url": "/"}}
    assert faults_of(step, data_share={"start": 0, "size": 1}) == {"data_share": "is set by the suite"}


def test_what_needs_declared_steps_is_refused_without_them() -> None:
    faults = faults_of({"name": "talk", "checks": [{"name": "a", "body_contains": "b"}]})
    assert faults["steps[0].checks"].startswith("need a step that says itself")


def test_templates_of_graphql_are_judged_where_they_stand() -> None:
    step = {"name": "a", "graphql": {"url": "/", "query": "{me}", "variables": {"id": "{{nobody}}", "n": "{{vu}}"}}}
    assert set(faults_of(step)) == {"steps[0].graphql.variables.id"}


def test_a_feed_cannot_be_named_as_the_variables_of_the_job() -> None:
    assert "choose another name" in faults_of(LOGIN, feeds=[{**USERS, "name": "vars"}])["feeds[0].name"]


def variables_of(overrides: JobOverrides, **variables: str) -> dict[str, str]:
    step = {"name": "s", "http": {"url": "/{{vars.shop}}", "json": {"a": ["{{vars.user | raw}}"]}}}
    job = {"target": "http://target.test", "variables": variables, "workflows": [workflow("w", steps=[step])]}
    return dict(parse_job(json.dumps(job), DocumentFormat.JSON, overrides).variables)


def test_what_is_said_outside_of_the_file_wins() -> None:
    given = variables_of(JobOverrides(variables={"shop": "7", "more": ""}), shop="1", user="ann")
    assert given == {"shop": "7", "user": "ann", "more": ""}


def test_a_variable_that_the_job_does_not_have_is_a_fault_at_its_place() -> None:
    with pytest.raises(JobFileError) as caught:
        variables_of(JobOverrides(), usr="ann")
    assert {fault.path: fault.message for fault in caught.value.faults} == {
        "workflows[0].steps[0].http.url": (
            "template: the job has no variable 'shop'; there are usr; give it with `--var shop=VALUE`"
        ),
        "workflows[0].steps[0].http.json.a[0]": (
            "template: the job has no variable 'user'; there are usr; give it with `--var user=VALUE`"
        ),
    }


def test_variables_have_names_and_limits() -> None:
    many = {f"v{number:03}": "" for number in range(101)}
    with pytest.raises(JobFileError) as caught:
        variables_of(JobOverrides(variables=many), shop="x" * 4097, user="ann", **{"no name": "1"})
    faults = {fault.path: fault.message for fault in caught.value.faults}
    assert faults.keys() == {"variables", "variables['shop']", "variables['no name']"}
