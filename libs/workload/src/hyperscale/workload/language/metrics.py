"""Metrics of a workflow's own: declared as attributes of its class, merged exactly over all users everywhere."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Final

from hyperscale.workload.language.errors import MetricError, WorkflowDefinitionError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LARGEST_COUNT: Final = 2**53


class CustomKind(Enum):
    """What a metric is made of."""

    COUNTER = "counter"
    RATE = "rate"
    TREND = "trend"
    GAUGE = "gauge"


class Metric:
    """A metric of a workflow's own.

    Examples
    --------
    ::

        class Shop(Workflow):
            orders = Metric.counter("orders")

            @step()
            async def order(self) -> None:
                ...
                self.orders.add()
    """

    __slots__ = ("_kind", "_name", "_values")

    def __init__(self, kind: CustomKind, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise WorkflowDefinitionError(
                f"{name!r} is not a metric's name: a letter or '_', then letters, digits or '_'"
            )
        self._kind = kind
        self._name = name
        self._values: list[float] = []

    @staticmethod
    def counter(name: str) -> Metric:
        """Something that is counted: ``count``, and ``rate`` per second."""
        return Metric(CustomKind.COUNTER, name)

    @staticmethod
    def rate(name: str) -> Metric:
        """How often something is the case: ``rate`` from 0 to 1."""
        return Metric(CustomKind.RATE, name)

    @staticmethod
    def trend(name: str) -> Metric:
        """A distribution of numbers from 0: ``avg``, ``min``, ``med``, ``max``, ``p(N)``."""
        return Metric(CustomKind.TREND, name)

    @staticmethod
    def gauge(name: str) -> Metric:
        """A level: the ``value`` noted last."""
        return Metric(CustomKind.GAUGE, name)

    @property
    def name(self) -> str:
        """Name in results and thresholds."""
        return self._name

    @property
    def kind(self) -> CustomKind:
        """What it is made of."""
        return self._kind

    def add(self, value: float = 1) -> Metric:
        """Measure once: an amount to count (a whole number), whether something is the case (a bool), or a number.

        Raises
        ------
        MetricError
            The metric cannot take the value.
        """
        fault = _fault(self._kind, value)
        if fault:
            raise MetricError(f"metric {self._name}: {fault}, not {value!r}")
        self._values.append(float(value))
        return self

    def take(self) -> list[float]:
        """What was measured since the last call. For the engine."""
        values, self._values = self._values, []
        return values


def _fault(kind: CustomKind, value: object) -> str:
    """Why a metric of the kind cannot take the value; empty when it can."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "takes a finite number"
    match kind:
        case CustomKind.COUNTER if value != int(value) or not 0 <= value <= _LARGEST_COUNT:
            return "takes a whole number from 0"
        case CustomKind.RATE if value not in {0, 1}:
            return "takes True or False"
        case CustomKind.TREND if value < 0:
            return "takes a number from 0"
        case _:
            return ""
