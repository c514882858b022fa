"""Structured logs: one JSON object per line on standard error, or a console form for people.

Writing to standard error blocks if its reader stops reading. That is accepted: a node logs few lines (failures and
transitions, never per request that succeeds), and losing the line that explains a crash is worse than waiting for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger


class LogLevel(StrEnum):
    """Least severe level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line looks."""

    JSON = "json"
    CONSOLE = "console"


class LogConfig(Protocol):
    """The part of a node's configuration that concerns logs."""

    @property
    def log_level(self) -> LogLevel:
        """Least severe level that is written."""
        ...

    @property
    def log_format(self) -> LogFormat:
        """How a line looks."""
        ...


def configure_logging(config: LogConfig, facts: Mapping[str, str]) -> None:
    """Set up the process's logs, including those of libraries that use the standard module.

    Parameters
    ----------
    facts
        Added to every line: node_id, role, datacenter.
    """
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    shared = _shared_processors(facts)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(config.log_format)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines name their origin; further facts are added with ``bind``."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def _shared_processors(facts: Mapping[str, str]) -> list[Processor]:
    def add_facts(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {**facts, **event}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_facts,
    ]


def _renderers(log_format: LogFormat) -> list[Processor]:
    if log_format is LogFormat.CONSOLE:
        return [structlog.dev.ConsoleRenderer()]
    # Local variables of the frames may hold secrets and whole job submissions.
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [tracebacks, structlog.processors.JSONRenderer(default=str)]
