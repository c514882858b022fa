"""Judges a submission by the contract, and tells every fault at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.code_validation import CodeJudge
from hyperscale.workload.defaults import distribution_of
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.graph import WorkflowGraph
from hyperscale.workload.graphql_validation import GraphqlJudge
from hyperscale.workload.grpc_validation import GrpcJudge
from hyperscale.workload.http_options_validation import HttpOptionsJudge
from hyperscale.workload.http_validation import HttpJudge
from hyperscale.workload.limits import (
    DAY_SECONDS,
    MAX_DATACENTERS,
    MAX_DEPENDENCIES,
    MAX_GRACEFUL_STOP_SECONDS,
    MAX_IDEMPOTENCY_KEY_LENGTH,
    MAX_JOB_NAME_LENGTH,
    MAX_JOB_TIMEOUT_SECONDS,
    MAX_STEPS,
    MAX_THRESHOLDS,
    MAX_VARIABLE_LENGTH,
    MAX_VARIABLES,
    MAX_WEIGHT,
    MAX_WORKFLOWS,
    at_most,
    check_duration,
    check_length,
)
from hyperscale.workload.load_validation import LoadJudge
from hyperscale.workload.metric_selector import MetricSelectorError, SelectorJudge
from hyperscale.workload.once_validation import OnceJudge
from hyperscale.workload.script_validation import ScriptJudge
from hyperscale.workload.socket_validation import SocketJudge
from hyperscale.workload.templates import IDENTIFIER, IDENTIFIER_RULE
from hyperscale.workload.thresholds import ThresholdSyntaxError, parse_threshold
from hyperscale.workload.timestamps import seconds_of
from hyperscale.workload.urls import BUNDLED_TARGET, target_fault
from hyperscale.workload.websocket_validation import WebSocketJudge

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAME_RULE: Final = "must be 1 to 64 letters, digits, '-', '_' or '.'"
_ONCE_PATH: Final = "once"
_PRINTABLE_ASCII: Final = re.compile(r"[\x20-\x7e]*")

_BUNDLED_FAULT: Final = (
    f"{BUNDLED_TARGET!r} is the server that `hyperscale run` starts beside the job; "
    "name the URL of a server that the workers can reach"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a submission is judged, and what that place may find in it."""

    bundled_target: bool = False
    is_divided: bool = False


@dataclass(frozen=True, slots=True)
class _ActionJudges:
    """Judges of the actions of one workflow."""

    http: HttpJudge
    grpc: GrpcJudge


_SUBMITTED: Final = _Place()
_SHARE: Final = _Place(is_divided=True)
_JOB_FILE: Final = _Place(bundled_target=True)


def validate_submission(submission: job_pb2.JobSubmission) -> list[Fault]:
    """Faults of a job that a client submits; never raises."""
    return _Judge(_SUBMITTED).faults(submission)


def validate_share(submission: job_pb2.JobSubmission) -> list[Fault]:
    """Faults of a datacenter's part of a job, whose workflows may have been left without users; never raises."""
    return _Judge(_SHARE).faults(submission)


def validate_job_file(submission: job_pb2.JobSubmission) -> list[Fault]:
    """Faults of a job as a file describes it: its target may be `BUNDLED_TARGET`; never raises."""
    return _Judge(_JOB_FILE).faults(submission)


class _Judge:
    """One pass over one submission."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._faults = FaultCollector()
        self._variables: Collection[str] = ()

    def faults(self, submission: job_pb2.JobSubmission) -> list[Fault]:
        """Every fault of the submission, in the order of its fields."""
        self._names_of_job(submission)
        self._variables = self._names_of_variables(submission)
        self._target(submission.target)
        self._datacenters(submission)
        self._known_enum("distribution", submission.distribution, job_pb2.Distribution.values())
        self._workflows(submission)
        CodeJudge(self._faults).judge_bundle(submission)
        self._thresholds(submission)
        if submission.HasField("timeout"):
            check_duration(self._faults, "timeout", submission.timeout, longest_seconds=MAX_JOB_TIMEOUT_SECONDS)
        HttpOptionsJudge(self._faults).judge("http_options", submission.http_options)
        return self._faults.faults()

    def _names_of_job(self, submission: job_pb2.JobSubmission) -> None:
        check_length(self._faults, "name", submission.name, MAX_JOB_NAME_LENGTH)
        key = submission.idempotency_key
        check_length(self._faults, "idempotency_key", key, MAX_IDEMPOTENCY_KEY_LENGTH)
        if not _PRINTABLE_ASCII.fullmatch(key):
            self._faults.add("idempotency_key", "must be printable ASCII")

    def _names_of_variables(self, submission: job_pb2.JobSubmission) -> Collection[str]:
        names = sorted(submission.variables)
        for name in at_most(self._faults, "variables", names, MAX_VARIABLES):
            path = f"variables[{name[:64]!r}]"
            if not IDENTIFIER.fullmatch(name):
                self._faults.add(path, f"its name {IDENTIFIER_RULE}")
            check_length(self._faults, path, submission.variables[name], MAX_VARIABLE_LENGTH)
        return names

    def _target(self, target: str) -> None:
        if not target or (target == BUNDLED_TARGET and self._place.bundled_target):
            return
        fault = _BUNDLED_FAULT if target == BUNDLED_TARGET else target_fault(target)
        if fault:
            self._faults.add("target", fault)

    def _datacenters(self, submission: job_pb2.JobSubmission) -> None:
        required = submission.datacenters.required
        path = "datacenters.required"
        self._unique_names(
            path, at_most(self._faults, path, required, MAX_DATACENTERS), lambda index: f"{path}[{index}]"
        )
        self._choice_of_datacenters(submission.datacenters)
        weights = submission.datacenters.weights
        if weights and distribution_of(submission) != job_pb2.DISTRIBUTION_SPLIT:
            self._faults.add(
                "datacenters.weights", "need distribution SPLIT: otherwise every datacenter runs everything"
            )
        known = set(required)
        for name in sorted(weights):
            path = f"datacenters.weights[{name[:64]!r}]"
            if name not in known:
                self._faults.add(path, "is not one of datacenters.required")
            if not 1 <= weights[name] <= MAX_WEIGHT:
                self._faults.add(path, f"must be 1 to {MAX_WEIGHT}, not {weights[name]}")

    def _choice_of_datacenters(self, selection: job_pb2.DatacenterSelection) -> None:
        if selection.count > MAX_DATACENTERS:
            self._faults.add("datacenters.count", f"must be 0 to {MAX_DATACENTERS}, not {selection.count}")
        if selection.count and selection.required:
            self._faults.add("datacenters.count", "is for jobs that name no datacenters in datacenters.required")
        for field, names in (("preferred", selection.preferred), ("exclude", selection.exclude)):
            path = f"datacenters.{field}"
            self._unique_names(path, at_most(self._faults, path, names, MAX_DATACENTERS), f"{path}[{{}}]".format)
            if names and not selection.count:
                self._faults.add(path, "needs datacenters.count: otherwise the gate does not choose")
        preferred = set(selection.preferred)
        for index, name in enumerate(selection.exclude):
            if name in preferred:
                self._faults.add(f"datacenters.exclude[{index}]", f"{name[:80]!r} is one of datacenters.preferred")

    def _workflows(self, submission: job_pb2.JobSubmission) -> None:
        if not submission.workflows:
            self._faults.add("workflows", f"1 to {MAX_WORKFLOWS} workflows are required")
        workflows = at_most(self._faults, "workflows", submission.workflows, MAX_WORKFLOWS)
        self._unique_names(
            "workflows", [workflow.name for workflow in workflows], lambda index: f"workflows[{index}].name"
        )
        http_judge = HttpJudge(
            self._faults,
            has_target=bool(submission.target),
            shares_connections=bool(submission.http_options.max_connections_per_origin),
        )
        for index, workflow in enumerate(workflows):
            path = f"workflows[{index}]"
            self._workflow(
                path, workflow, _ActionJudges(http_judge, GrpcJudge(self._faults, submission, path, workflow))
            )
        self._faults.extend(WorkflowGraph(workflows).faults())

    def _workflow(self, path: str, workflow: workflow_pb2.Workflow, judges: _ActionJudges) -> None:
        at_most(self._faults, f"{path}.depends_on", workflow.depends_on, MAX_DEPENDENCIES)
        self._known_enum(f"{path}.priority", workflow.priority, workflow_pb2.Priority.values())
        LoadJudge(self._faults, is_divided=self._place.is_divided).judge(path, workflow)
        if workflow.HasField("graceful_stop"):
            self._zero_or_duration(f"{path}.graceful_stop", workflow.graceful_stop, MAX_GRACEFUL_STOP_SECONDS)
        self._steps(f"{path}.steps", workflow, judges)
        self._once(path, workflow, judges)
        if workflow.HasField("data_share") and not self._place.is_divided:
            self._faults.add(f"{path}.data_share", "is set by the suite")
        ScriptJudge(self._faults, self._variables).judge(path, workflow)
        CodeJudge(self._faults).judge_workflow(path, workflow)

    def _once(self, path: str, workflow: workflow_pb2.Workflow, judges: _ActionJudges) -> None:
        OnceJudge(self._faults, is_divided=self._place.is_divided).judge(path, workflow)
        code = workflow.class_name
        if workflow.setup:
            setup = workflow_pb2.Workflow(steps=workflow.setup, class_name=code)
            self._once_steps(f"{path}.setup", setup, judges)
        if workflow.teardown:
            teardown = workflow_pb2.Workflow(steps=workflow.teardown, setup=workflow.setup, class_name=code)
            self._once_steps(f"{path}.teardown", teardown, judges)

    def _once_steps(self, path: str, once: workflow_pb2.Workflow, judges: _ActionJudges) -> None:
        """Judge steps that stand at `path` as if they were those of a workflow."""
        self._steps(path, once, judges)
        faults = FaultCollector()
        ScriptJudge(faults, self._variables).judge(_ONCE_PATH, once)
        CodeJudge(faults).judge_workflow(_ONCE_PATH, once)
        LoadJudge(faults, is_divided=self._place.is_divided).judge_pauses(_ONCE_PATH, once)
        steps = f"{_ONCE_PATH}.steps"
        self._faults.extend(Fault(fault.path.replace(steps, path, 1), fault.message) for fault in faults.faults())

    def _steps(self, path: str, workflow: workflow_pb2.Workflow, judges: _ActionJudges) -> None:
        """Judge the steps of a workflow, which stand at `path`."""
        if not workflow.steps:
            self._faults.add(path, f"1 to {MAX_STEPS} steps are required")
        steps = at_most(self._faults, path, workflow.steps, MAX_STEPS)
        self._unique_names(path, [step.name for step in steps], lambda at: f"{path}[{at}].name")
        for index, step in enumerate(steps):
            self._action(f"{path}[{index}]", step, judges, has_class=bool(workflow.class_name))

    def _action(self, path: str, step: workflow_pb2.Step, judges: _ActionJudges, *, has_class: bool) -> None:
        match step.WhichOneof("action"):
            case "http":
                judges.http.judge(f"{path}.http", step.http)
            case "graphql":
                GraphqlJudge(self._faults, judges.http).judge(f"{path}.graphql", step.graphql)
            case "websocket":
                WebSocketJudge(self._faults, judges.http).judge(f"{path}.websocket", step.websocket)
            case "tcp":
                SocketJudge(self._faults).judge_tcp(f"{path}.tcp", step.tcp)
            case "udp":
                SocketJudge(self._faults).judge_udp(f"{path}.udp", step.udp)
            case "grpc":
                judges.grpc.judge(f"{path}.grpc", step.grpc)
            case _ if not has_class:
                self._faults.add(path, "needs an action: http, graphql, websocket, grpc, tcp or udp")

    def _thresholds(self, submission: job_pb2.JobSubmission) -> None:
        judge = SelectorJudge(submission)
        for index, threshold in enumerate(at_most(self._faults, "thresholds", submission.thresholds, MAX_THRESHOLDS)):
            self._threshold(f"thresholds[{index}]", threshold, judge)

    def _threshold(self, path: str, threshold: job_pb2.Threshold, judge: SelectorJudge) -> None:
        try:
            rule = parse_threshold(threshold.metric, threshold.expression, judge.own_metrics)
        except MetricSelectorError as error:
            self._faults.add(f"{path}.metric", str(error))
        except ThresholdSyntaxError as error:
            self._faults.add(f"{path}.expression", str(error))
        else:
            for fault in judge.faults(rule.selector):
                self._faults.add(f"{path}.metric", fault)
        if threshold.HasField("abort_delay"):
            self._zero_or_duration(f"{path}.abort_delay", threshold.abort_delay, DAY_SECONDS)
            if not threshold.abort_on_fail:
                self._faults.add(f"{path}.abort_delay", "needs abort_on_fail: true")

    def _unique_names(self, path: str, names: Iterable[str], path_of: Callable[[int], str]) -> None:
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if not _NAME.fullmatch(name):
                self._faults.add(path_of(index), f"{_NAME_RULE}, not {name[:80]!r}")
            elif name in first:
                self._faults.add(path_of(index), f"{name!r} is already used by {path}[{first[name]}]")
            first.setdefault(name, index)

    def _zero_or_duration(self, path: str, duration: Duration, longest_seconds: float) -> None:
        if seconds_of(duration) or duration.nanos:
            check_duration(self._faults, path, duration, longest_seconds=longest_seconds)

    def _known_enum(self, path: str, value: int, known: Iterable[int]) -> None:
        if value not in known:
            self._faults.add(path, f"has no value {value}")
