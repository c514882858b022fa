"""Judges setup and teardown of a workflow, and what only the suite may say of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import MAX_ONCE_SECONDS, check_duration
from hyperscale.workload.workflow_names import SETUP_SUFFIX, TEARDOWN_SUFFIX, is_load

_MAX_NAME_LENGTH: Final = 64 - len(TEARDOWN_SUFFIX)
_ONCE_ROLES: Final = frozenset({workflow_pb2.WORKFLOW_ROLE_SETUP, workflow_pb2.WORKFLOW_ROLE_TEARDOWN})


class OnceJudge:
    """Notes faults of what a workflow does once, its steps apart.

    Parameters
    ----------
    is_divided
        Whether the gate has had the workflow: setups and teardowns are workflows of their own then.
    """

    def __init__(self, faults: FaultCollector, *, is_divided: bool) -> None:
        self._faults = faults
        self._is_divided = is_divided

    def judge(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        """Note every fault of the workflow that stands at `path`."""
        self._role(path, workflow)
        if workflow.once_per not in workflow_pb2.OnceScope.values():
            self._faults.add(f"{path}.once_per", f"has no value {workflow.once_per}")
        setup_timeout = workflow.setup_timeout if workflow.HasField("setup_timeout") else None
        teardown_timeout = workflow.teardown_timeout if workflow.HasField("teardown_timeout") else None
        self._timeout(path, "setup", workflow.setup, setup_timeout)
        self._timeout(path, "teardown", workflow.teardown, teardown_timeout)
        if workflow.class_name:
            self._class(path, workflow)
        if workflow.once_per and not (workflow.setup or workflow.teardown):
            self._faults.add(f"{path}.once_per", "needs a setup or teardown")
        if (workflow.setup or workflow.teardown) and is_load(workflow.name) and len(workflow.name) > _MAX_NAME_LENGTH:
            self._faults.add(
                f"{path}.name", f"must have at most {_MAX_NAME_LENGTH} characters with a setup or teardown"
            )

    def _role(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        if workflow.role not in workflow_pb2.WorkflowRole.values():
            self._faults.add(f"{path}.role", f"has no value {workflow.role}")
        elif workflow.role and not self._is_divided:
            self._faults.add(f"{path}.role", "is set by the suite")
        elif workflow.role not in _ONCE_ROLES and not is_load(workflow.name):
            self._faults.add(f"{path}.name", f"must not end in {SETUP_SUFFIX!r} or {TEARDOWN_SUFFIX!r}")

    def _timeout(self, path: str, name: str, steps: Sequence[workflow_pb2.Step], timeout: Duration | None) -> None:
        if timeout is None:
            return
        check_duration(self._faults, f"{path}.{name}_timeout", timeout, longest_seconds=MAX_ONCE_SECONDS)
        if not steps:
            self._faults.add(f"{path}.{name}_timeout", f"needs a {name}")

    def _class(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        for name, steps in (("setup", workflow.setup), ("teardown", workflow.teardown)):
            if steps and [step.name for step in steps] != [name]:
                self._faults.add(f"{path}.{name}", f"of a class is the one step {name!r}")
