"""Job files and outputs as commands take them: faults of both are told together, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperscale.client.cli.failures import BadConfigurationError
from hyperscale.client.coding.jobs import load_coded_job
from hyperscale.client.reporters.outputs import Output, parse_outputs
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.workload.faults import Fault
from hyperscale.workload.jobfile import JobFileError, load_job_file
from hyperscale.workload.overrides import JobOverrides
from hyperscale.workload.urls import BUNDLED_TARGET


def load_job(path: Path, overrides: JobOverrides) -> JobSubmission:
    """Read a job: a Python file by its code, any other as a job file. Raises JobFileError and CodedJobError."""
    return load_coded_job(path, overrides) if path.suffix == ".py" else load_job_file(path, overrides)


def read_job(path: Path, overrides: JobOverrides, outs: Sequence[str]) -> tuple[JobSubmission, tuple[Output, ...]]:
    """Read a job file and the ``--out`` options.

    Raises
    ------
    BadConfigurationError
        With every fault of both.
    CodedJobError
        The file is Python that fails.
    """
    _, faults = parse_outputs(outs)
    try:
        submission = load_job(path, overrides)
    except JobFileError as error:
        raise BadConfigurationError(str(path), [*error.faults, *faults]) from error
    return submission, usable_outputs(outs)


def usable_outputs(outs: Sequence[str]) -> tuple[Output, ...]:
    """Read the ``--out`` options alone.

    Raises
    ------
    BadConfigurationError
        With every fault.
    """
    outputs, faults = parse_outputs(outs)
    if faults:
        raise BadConfigurationError("options", faults)
    return tuple(outputs)


def uses_bundled_target(submission: JobSubmission) -> bool:
    """Whether the job is to run against the server that comes with the client."""
    return submission.target == BUNDLED_TARGET


def refuse_bundled_target(path: Path, submission: JobSubmission) -> None:
    """Refuse a job whose target only ``hyperscale run`` can provide."""
    if uses_bundled_target(submission):
        advice = (
            f"{BUNDLED_TARGET} works with `hyperscale run` only; start a target with"
            " `hyperscale target --port 8080` and name it with `--target http://127.0.0.1:8080`"
        )
        raise BadConfigurationError(str(path), [Fault("target", advice)])
