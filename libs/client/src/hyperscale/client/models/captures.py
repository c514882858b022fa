"""Requests as other tools describe them, on their way to a job file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """One request.

    Parameters
    ----------
    where
        Where it was found, for what is told about it, for example ``entries[3]``.
    headers
        Header fields in their order; names may repeat.
    options
        Further fields of the step's ``http``, as a job file has them.
    """

    where: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capture:
    """Requests that one user makes, with the ``http_options`` they need."""

    requests: tuple[CapturedRequest, ...]
    http_options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConstantLoad:
    """The load of a converted job; the duration is as in a job file."""

    vus: int
    duration: str
