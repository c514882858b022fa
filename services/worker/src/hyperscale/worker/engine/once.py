"""Setups and teardowns in an engine: run like any workflow of one iteration, and failed by whatever fails in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.population import UserMaker
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.defaults import max_duration_seconds
from hyperscale.workload.metrics import CODE_PROTOCOL

_ROLES = frozenset({workflow_pb2.WORKFLOW_ROLE_SETUP, workflow_pb2.WORKFLOW_ROLE_TEARDOWN})


def is_once(workflow: workflow_pb2.Workflow) -> bool:
    """Whether a workflow is a setup or teardown."""
    return workflow.role in _ROLES


class InnerCasting(Protocol):
    """What makes the user that runs the steps."""

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """See `Casting`."""

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """See `Casting`."""


class OnceCasting:
    """A casting whose run has failed when anything in it has."""

    def __init__(self, workflow: workflow_pb2.Workflow, inner: InnerCasting) -> None:
        self._workflow = workflow
        self._inner = inner

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """See `Casting`."""
        return self._inner.user_maker(parts, tasks)

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """Judge the run, when it has not been stopped or failed before."""
        self._inner.conclude(progress)
        if progress.status != progress_pb2.SHARD_STATUS_COMPLETED:
            return
        error = once_error(self._workflow, progress.totals)
        if error:
            progress.status = progress_pb2.SHARD_STATUS_FAILED
            progress.error = f"{self._workflow.name}: {error}"


def once_error(workflow: workflow_pb2.Workflow, totals: pb.WorkflowStats) -> str:
    """Why a setup or teardown has not done what it was to do; empty when it has.

    Code decides itself which failed request matters: what it does not catch. In declared steps every failure does.
    """
    if not totals.iterations:
        return f"did not end within {max_duration_seconds(workflow.shared_iterations):g} s"
    if workflow.class_name:
        return "; ".join(sample.text for sample in totals.error_samples)
    return "; ".join(_failed_steps(totals))


def _failed_steps(totals: pb.WorkflowStats) -> Iterator[str]:
    for step in totals.steps:
        counted = [step.failures, *(calls.failures for calls in step.protocols if calls.protocol != CODE_PROTOCOL)]
        classes = {failure.error_class for failures in counted for failure in failures}
        if classes:
            names = sorted(pb.ErrorClass.Name(entry).removeprefix("ERROR_CLASS_").lower() for entry in classes)
            yield f"step {step.step_name!r} failed ({', '.join(names)})"
