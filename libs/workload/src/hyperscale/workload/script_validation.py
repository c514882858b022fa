"""Judges what a workflow's steps take from responses, what they check, and the data that they are fed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from hyperscale.v1 import script_pb2, workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.feeds import FeedError, FeedTable, read_feed
from hyperscale.workload.json_values import is_json
from hyperscale.workload.limits import (
    MAX_CHECKS,
    MAX_EXPECTED_STATUSES,
    MAX_EXPECTED_TEXT_LENGTH,
    MAX_EXTRACTIONS,
    MAX_FEEDS,
    MAX_REQUEST_TIMEOUT_SECONDS,
    at_most,
    check_duration,
    check_length,
)
from hyperscale.workload.once import extracted_by
from hyperscale.workload.patterns import CompiledRegex, PatternError, compile_json_path, compile_regex
from hyperscale.workload.response_parts import HTTP_RESPONSE, RESPONSES, ResponseParts
from hyperscale.workload.template_validation import TemplateJudge
from hyperscale.workload.templates import FUNCTION_NAMES, IDENTIFIER, IDENTIFIER_RULE, VARIABLES
from hyperscale.workload.urls import FIELD_NAME

_CHECK_NAME_LENGTH: Final = 100
_NO_ACTION_FAULT: Final = "need a step that says itself what it does: code looks at its responses itself"
_SOURCE_RULE: Final = "needs a source: json_path, regex, header or status"
_CONDITION_RULE: Final = "needs a condition: status, body_contains, body_matches, json, header or max_duration"


class ScriptJudge:
    """Notes the faults of one workflow's feeds, templates, extractions and checks.

    Parameters
    ----------
    job_variables
        Names of the job's variables.
    """

    def __init__(self, faults: FaultCollector, job_variables: Collection[str]) -> None:
        self._faults = faults
        self._job_variables = job_variables

    def judge(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        """Note every fault of the workflow that stands at `path`; its setup has been there before."""
        templates = TemplateJudge(self._faults, self._feeds(f"{path}.feeds", workflow), self._job_variables)
        variables = extracted_by(workflow.setup)
        for index, step in enumerate(workflow.steps):
            at = f"{path}.steps[{index}]"
            action = step.WhichOneof("action")
            if action is not None:
                templates.judge(f"{at}.{action}", getattr(step, action), variables)
            elif step.checks or step.extract:
                self._faults.add(f"{at}.{'checks' if step.checks else 'extract'}", _NO_ACTION_FAULT)
            response = RESPONSES.get(action or "", HTTP_RESPONSE)
            self._checks(f"{at}.checks", step, response)
            variables |= self._extractions(f"{at}.extract", step, response)

    def _feeds(self, path: str, workflow: workflow_pb2.Workflow) -> dict[str, FeedTable | None]:
        """Tables by name of feed; None for those that cannot be read."""
        tables: dict[str, FeedTable | None] = {}
        for index, feed in enumerate(at_most(self._faults, path, workflow.feeds, MAX_FEEDS)):
            at = f"{path}[{index}]"
            self._identifier(f"{at}.name", feed.name, is_taken=feed.name in tables)
            if feed.name == VARIABLES:
                self._faults.add(f"{at}.name", f"{VARIABLES!r} is for the variables of the job; choose another name")
            self._feed_options(at, feed)
            tables[feed.name] = self._table(at, feed)
        return tables

    def _feed_options(self, path: str, feed: script_pb2.DataFeed) -> None:
        if feed.mode not in script_pb2.FeedMode.values():
            self._faults.add(f"{path}.mode", f"has no value {feed.mode}")
        if feed.pace not in script_pb2.FeedPace.values():
            self._faults.add(f"{path}.pace", f"has no value {feed.pace}")
        if feed.recycle and feed.mode != script_pb2.FEED_MODE_UNIQUE:
            self._faults.add(f"{path}.recycle", "is for mode UNIQUE; the others never run out of rows")

    def _table(self, path: str, feed: script_pb2.DataFeed) -> FeedTable | None:
        rows = feed.WhichOneof("rows")
        if rows == "json" and not is_json(feed.json):
            self._faults.add(f"{path}.json", "must be JSON: no infinite or undefined numbers, no value left out")
            return None
        try:
            return read_feed(feed)
        except FeedError as error:
            self._faults.add(f"{path}.{rows}" if rows else path, str(error))
            return None

    def _extractions(self, path: str, step: workflow_pb2.Step, response: ResponseParts) -> set[str]:
        """The names of the step's variables."""
        names: set[str] = set()
        for index, extraction in enumerate(at_most(self._faults, path, step.extract, MAX_EXTRACTIONS)):
            at = f"{path}[{index}]"
            self._identifier(f"{at}.variable", extraction.variable, is_taken=extraction.variable in names)
            names.add(extraction.variable)
            self._source(at, extraction)
            self._has_part(at, extraction.WhichOneof("source"), response)
            check_length(self._faults, f"{at}.default", extraction.default, MAX_EXPECTED_TEXT_LENGTH)
        return names

    def _source(self, path: str, extraction: script_pb2.Extraction) -> None:
        match extraction.WhichOneof("source"):
            case "json_path":
                self._json_path(f"{path}.json_path", extraction.json_path)
            case "regex":
                self._group(f"{path}.regex", extraction.regex)
            case "header":
                self._field_name(f"{path}.header", extraction.header)
            case "status":
                if not extraction.status:
                    self._faults.add(f"{path}.status", "must be true")
            case None:
                self._faults.add(path, _SOURCE_RULE)

    def _group(self, path: str, source: script_pb2.RegexSource) -> None:
        regex = self._regex(f"{path}.pattern", source.pattern)
        if regex is not None and source.group > regex.groups:
            self._faults.add(f"{path}.group", f"must be at most {regex.groups}, the number of groups in the pattern")

    def _checks(self, path: str, step: workflow_pb2.Step, response: ResponseParts) -> None:
        names: set[str] = set()
        for index, check in enumerate(at_most(self._faults, path, step.checks, MAX_CHECKS)):
            at = f"{path}[{index}]"
            if not (1 <= len(check.name) <= _CHECK_NAME_LENGTH and check.name.isprintable()):
                self._faults.add(f"{at}.name", f"must be 1 to {_CHECK_NAME_LENGTH} printable characters")
            elif check.name in names:
                self._faults.add(f"{at}.name", f"{check.name!r} is the name of another check of this step")
            names.add(check.name)
            self._condition(at, check, response)
            self._has_part(at, check.WhichOneof("condition"), response)

    def _condition(self, path: str, check: script_pb2.Check, response: ResponseParts) -> None:
        match check.WhichOneof("condition"):
            case "status":
                self._statuses(f"{path}.status.any_of", list(check.status.any_of), response)
            case "body_contains":
                self._expected_text(f"{path}.body_contains", check.body_contains)
            case "body_matches":
                self._regex(f"{path}.body_matches", check.body_matches)
            case "json":
                self._json(f"{path}.json", check.json)
            case "header":
                self._header(f"{path}.header", check.header)
            case "max_duration":
                limit = MAX_REQUEST_TIMEOUT_SECONDS
                check_duration(self._faults, f"{path}.max_duration", check.max_duration, longest_seconds=limit)
            case None:
                self._faults.add(path, _CONDITION_RULE)

    def _has_part(self, path: str, part: str | None, response: ResponseParts) -> None:
        if part == "status" and response.statuses is None:
            self._faults.add(f"{path}.status", "is not known of this protocol: its responses have a body only")
        if part == "header" and not response.has_headers:
            self._faults.add(f"{path}.header", "is not known of this protocol: its responses have a body only")

    def _statuses(self, path: str, statuses: list[int], response: ResponseParts) -> None:
        known = response.statuses
        if known is None:
            return
        if not statuses:
            self._faults.add(path, "needs at least one status")
        for index, status in enumerate(at_most(self._faults, path, statuses, MAX_EXPECTED_STATUSES)):
            if status not in known:
                self._faults.add(f"{path}[{index}]", f"must be {known.start} to {known.stop - 1}, not {status}")

    def _expected_text(self, path: str, text: str) -> None:
        if not text:
            self._faults.add(path, "must not be empty: everything contains nothing")
        check_length(self._faults, path, text, MAX_EXPECTED_TEXT_LENGTH)

    def _json(self, path: str, condition: script_pb2.JsonCondition) -> None:
        self._json_path(f"{path}.path", condition.path)
        if condition.HasField("equals") and not is_json(condition.equals):
            self._faults.add(f"{path}.equals", "must be JSON: no infinite or undefined numbers, no value left out")

    def _header(self, path: str, condition: script_pb2.HeaderCondition) -> None:
        self._field_name(f"{path}.name", condition.name)
        if condition.WhichOneof("value") == "matches":
            self._regex(f"{path}.matches", condition.matches)
        check_length(self._faults, f"{path}.equals", condition.equals, MAX_EXPECTED_TEXT_LENGTH)

    def _identifier(self, path: str, name: str, *, is_taken: bool) -> None:
        if not IDENTIFIER.fullmatch(name):
            self._faults.add(path, f"{IDENTIFIER_RULE}, not {name[:80]!r}")
        elif name in FUNCTION_NAMES:
            self._faults.add(path, f"{name!r} is a function of templates; choose another name")
        elif is_taken:
            self._faults.add(path, f"{name!r} is there already")

    def _field_name(self, path: str, name: str) -> None:
        if not FIELD_NAME.fullmatch(name):
            self._faults.add(path, f"{name[:80]!r} is not a header name")

    def _regex(self, path: str, pattern: str) -> CompiledRegex | None:
        try:
            return compile_regex(pattern)
        except PatternError as error:
            self._faults.add(path, str(error))
            return None

    def _json_path(self, path: str, json_path: str) -> None:
        try:
            compile_json_path(json_path)
        except PatternError as error:
            self._faults.add(path, str(error))
