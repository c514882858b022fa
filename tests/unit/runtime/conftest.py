"""What the tests of the runtime share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.supervisor import Supervisor


@dataclass(slots=True)
class Logs:
    """A logger, and the lines it was given."""

    capturing: CapturingLogger = field(default_factory=CapturingLogger)

    @property
    def logger(self) -> FilteringBoundLogger:
        bound: FilteringBoundLogger = structlog.wrap_logger(
            self.capturing, processors=[], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        return bound

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [{"level": call.method_name, **call.kwargs} for call in self.capturing.calls]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
async def supervisor(logs: Logs) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor("test", logs.logger)
    yield supervisor
    await supervisor.stop(5)
