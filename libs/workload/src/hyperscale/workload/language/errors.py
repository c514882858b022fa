"""What goes wrong in the code of a workflow."""

from __future__ import annotations


class WorkflowDefinitionError(Exception):
    """A workflow class is not what it must be; the text says which part and why."""


class RequestError(Exception):
    """A request got no whole response; it is counted as failed already.

    Attributes
    ----------
    error_class
        Why: ``dns``, ``connect``, ``tls``, ``timeout``, ``reset``, ``protocol``, …
    """

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class ContextError(Exception):
    """A value cannot be provided or used; the text says why."""


class VariableError(KeyError):
    """The job has no variable of that name; the text says how to give it."""

    def __str__(self) -> str:
        return str(self.args[0])


class CheckError(ValueError):
    """A step makes too many different checks; the text says how many there may be."""


class MetricError(ValueError):
    """A value that the metric cannot take."""
