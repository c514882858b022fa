"""Enum values of the contract as the short lower-case names that people and pipelines read."""

from __future__ import annotations

from hyperscale.v1.job_pb2 import JobStatus, Verdict, WorkflowStatus
from hyperscale.v1.statistics_pb2 import ErrorClass


def status_name(status: JobStatus.ValueType) -> str:
    """``JOB_STATUS_COMPLETED`` as ``completed``; a value of a newer release as its number."""
    return _short(JobStatus.Name(status), "JOB_STATUS_") if status in JobStatus.values() else str(status)


def workflow_status_name(status: WorkflowStatus.ValueType) -> str:
    """``WORKFLOW_STATUS_RUNNING`` as ``running``."""
    return _short(WorkflowStatus.Name(status), "WORKFLOW_STATUS_") if status in WorkflowStatus.values() else str(status)


def verdict_name(verdict: Verdict.ValueType) -> str:
    """``VERDICT_PASSED`` as ``passed``."""
    return _short(Verdict.Name(verdict), "VERDICT_") if verdict in Verdict.values() else str(verdict)


def error_class_name(error_class: ErrorClass.ValueType) -> str:
    """``ERROR_CLASS_TIMEOUT`` as ``timeout``."""
    return (
        _short(ErrorClass.Name(error_class), "ERROR_CLASS_") if error_class in ErrorClass.values() else str(error_class)
    )


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
