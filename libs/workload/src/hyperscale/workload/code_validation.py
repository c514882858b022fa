"""Judges what a submission says of code: the bundle, and the classes that are to be found in it."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.bundles import bundle_fault
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import MAX_DECLARED_METRICS, at_most
from hyperscale.workload.templates import IDENTIFIER, IDENTIFIER_RULE

_CLASS_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class CodeJudge:
    """Notes faults of coded workflows. The code itself is judged where it is run."""

    def __init__(self, faults: FaultCollector) -> None:
        self._faults = faults

    def judge_bundle(self, submission: job_pb2.JobSubmission) -> None:
        """Note what is wrong with the bundle, or with its being there or not."""
        coded = [index for index, workflow in enumerate(submission.workflows) if workflow.class_name]
        if submission.HasField("bundle"):
            fault = bundle_fault(submission.bundle) if coded else "is used by no workflow: none has a class_name"
            if fault:
                self._faults.add("bundle", fault)
            return
        for index in coded:
            self._faults.add(
                f"workflows[{index}].class_name", "needs the job's bundle; `hyperscale run FILE.py` makes it"
            )

    def judge_workflow(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        """Note what a coded workflow must not have; a declared one has no class, and only its metrics are judged."""
        self._metrics(f"{path}.metrics.declared", workflow.metrics)
        if not workflow.class_name:
            return
        if not _CLASS_NAME.fullmatch(workflow.class_name):
            self._faults.add(f"{path}.class_name", "must be the name of a Python class, of at most 64 letters")
        for index, step in enumerate(workflow.steps):
            if step.WhichOneof("action"):
                self._faults.add(
                    f"{path}.steps[{index}]", "has an action, although the code of class_name is to be run"
                )

    def _metrics(self, path: str, metrics: workflow_pb2.DeclaredMetrics) -> None:
        first: dict[str, int] = {}
        for index, metric in enumerate(at_most(self._faults, path, metrics.declared, MAX_DECLARED_METRICS)):
            if not IDENTIFIER.fullmatch(metric.name):
                self._faults.add(f"{path}[{index}].name", f"{IDENTIFIER_RULE}, not {metric.name[:80]!r}")
            elif metric.name in first:
                self._faults.add(
                    f"{path}[{index}].name", f"{metric.name!r} is already used by {path}[{first[metric.name]}]"
                )
            first.setdefault(metric.name, index)
            if metric.kind not in workflow_pb2.CustomMetricKind.values():
                self._faults.add(f"{path}[{index}].kind", f"has no value {metric.kind}")
