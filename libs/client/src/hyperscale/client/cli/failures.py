"""What went wrong, in words for a terminal, with the exit code that says it to a pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hyperscale.client.cluster.errors import NodeStartError, StateError
from hyperscale.client.coding.errors import CodedJobError
from hyperscale.client.errors import (
    CallRefusedError,
    ClientError,
    GateUnreachableError,
    NotAGateError,
    SubmissionTooLargeError,
)
from hyperscale.client.exit_codes import ExitCode
from hyperscale.workload.faults import Fault

_FAULTY_INPUT = "INVALID_ARGUMENT"


class BadConfigurationError(Exception):
    """The job file or the options cannot be used; carries every fault."""

    def __init__(self, subject: str, faults: Iterable[Fault]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        super().__init__(faults_text(subject, self.faults))


class NoGateKnownError(Exception):
    """Nobody said where a gate is, and no local cluster runs."""


class CommandFailedError(Exception):
    """A command cannot do what was asked, and says why."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the user is told, and the exit code."""

    text: str
    exit_code: ExitCode


def explain(error: BaseException) -> Explanation | None:
    """Words and exit code for an error that users can bring about; None for a defect of this program."""
    cause = _leaf(error)
    if isinstance(cause, BadConfigurationError | CodedJobError):
        return _explain_job(cause)
    if isinstance(cause, GateUnreachableError | NotAGateError | NoGateKnownError):
        return Explanation(f"error: {cause}", ExitCode.UNREACHABLE)
    if isinstance(cause, ClientError):
        return _explain_client(cause)
    if isinstance(cause, BrokenPipeError):
        return Explanation("error: nobody reads the output any more", ExitCode.ERROR)
    if isinstance(cause, CommandFailedError):
        return Explanation(f"error: {cause}", ExitCode.ERROR)
    return _explain_cluster(cause)


def faults_text(subject: str, faults: Iterable[Fault]) -> str:
    """Every fault on a line of its own, with its path."""
    return "\n".join([f"{subject}:", *(f"  {fault}" for fault in faults)])


def _explain_job(error: BadConfigurationError | CodedJobError) -> Explanation:
    if isinstance(error, CodedJobError):
        return Explanation(f"error in the job's code: {error}", ExitCode.USER_CODE)
    return Explanation(str(error), ExitCode.BAD_CONFIGURATION)


def _explain_client(error: ClientError) -> Explanation:
    if isinstance(error, SubmissionTooLargeError):
        return Explanation(f"error: {error}", ExitCode.BAD_CONFIGURATION)
    if isinstance(error, CallRefusedError) and error.status.name == _FAULTY_INPUT:
        faults = error.violations or (Fault("", error.refusal.message),)
        return Explanation(
            faults_text(f"the gate refused the request ({error.reason})", faults), ExitCode.BAD_CONFIGURATION
        )
    return Explanation(f"error: {error}", ExitCode.ERROR)


def _explain_cluster(error: BaseException) -> Explanation | None:
    if isinstance(error, NodeStartError):
        configured_badly = error.exit_code == ExitCode.BAD_CONFIGURATION
        return Explanation(f"error: {error}", ExitCode.BAD_CONFIGURATION if configured_badly else ExitCode.ERROR)
    if isinstance(error, StateError):
        return Explanation(f"error: {error}", ExitCode.ERROR)
    return None


def _leaf(error: BaseException) -> BaseException:
    """The first cause inside groups: a task group wraps whatever ends it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
