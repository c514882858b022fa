"""Judges what a submission says of code: the bundle, and the classes that are to be found in it."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.bundles import bundle_fault
from hyperscale.workload.faults import FaultCollector

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
        """Note what a coded workflow must not have; a declared one has no class, and nothing is noted."""
        if not workflow.class_name:
            return
        if not _CLASS_NAME.fullmatch(workflow.class_name):
            self._faults.add(f"{path}.class_name", "must be the name of a Python class, of at most 64 letters")
        for index, step in enumerate(workflow.steps):
            if step.WhichOneof("action"):
                self._faults.add(
                    f"{path}.steps[{index}]", "has an action, although the code of class_name is to be run"
                )
