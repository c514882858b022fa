"""The process around a node: configuration, signals, readiness, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Generic, TypeVar

import uvloop
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.config import NodeConfig, load_config
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.runtime.logs import configure_logging, get_logger
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.runtime.telemetry import Meter, Telemetry, exporting_telemetry, silent_telemetry

ConfigT = TypeVar("ConfigT", bound=NodeConfig)

_PARENT_POLL_SECONDS = 0.5
_CLEANUP_SECONDS = 2.0
_LAST_EXPORT_SECONDS = 1.0
_DRAIN_SHARE = 0.9
_SIGNAL_EXIT_BASE = 128


class NodeExitCode(IntEnum):
    """What the exit of a node says."""

    OK = 0
    FAILED = 1
    CONFIGURATION = ConfigurationError.exit_code


@dataclass(slots=True)
class NodeContext(Generic[ConfigT]):
    """What the shell gives to a node's main function.

    Attributes
    ----------
    supervisor
        Stopped by the shell after main has returned.
    meter
        Makes the instruments of the node's metrics.
    drain_requested
        Set by SIGTERM, SIGINT, the loss of the parent or work that was given up. Main then drains and returns.
    """

    config: ConfigT
    role: str
    logger: FilteringBoundLogger
    supervisor: Supervisor
    meter: Meter
    drain_requested: asyncio.Event = field(default_factory=asyncio.Event)
    _drain_deadline: float | None = None

    def request_drain(self, cause: str) -> None:
        """Begin the orderly end of the node."""
        if self._drain_deadline is not None:
            return
        self.logger.info("draining", cause=cause, timeout_seconds=self.config.drain_timeout_seconds)
        self._drain_deadline = asyncio.get_running_loop().time() + self.config.drain_timeout_seconds * _DRAIN_SHARE
        self.drain_requested.set()

    @property
    def drain_seconds_left(self) -> float:
        """Time that draining may still take, with a margin for closing what comes after it."""
        limit_seconds = self.config.drain_timeout_seconds * _DRAIN_SHARE
        if self._drain_deadline is None:
            return limit_seconds
        return max(0.0, self._drain_deadline - asyncio.get_running_loop().time())

    def announce_ready(self, endpoint: Endpoint) -> None:
        """Say that the node serves, in the log and in the ready file."""
        facts = {
            "role": self.role,
            "node_id": self.config.node_id,
            "datacenter": self.config.datacenter,
            "address": endpoint.address,
            "pid": os.getpid(),
        }
        self.logger.info("serving", address=endpoint.address)
        if self.config.ready_file is not None:
            _write_atomically(self.config.ready_file, json.dumps(facts) + "\n")


Main = Callable[[NodeContext[ConfigT]], Awaitable[None]]


def run_node(main: Main[ConfigT], config_class: type[ConfigT], *, role: str, argv: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop; returns the exit code of the process.

    Parameters
    ----------
    main
        Starts the node, calls `NodeContext.announce_ready`, waits for ``drain_requested``, drains, returns.
    role
        Names the program ``hyperscale-<role>`` and the environment variables ``HYPERSCALE_<ROLE>_…``.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        config = load_config(config_class, arguments, f"hyperscale-{role}", f"HYPERSCALE_{role.upper()}_", os.environ)
    except ConfigurationError as error:
        return _complain(error)
    facts = {"role": role, "node_id": config.node_id, "datacenter": config.datacenter}
    configure_logging(config, {name: value for name, value in facts.items() if value})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(main, config, role))


async def _run(main: Main[ConfigT], config: ConfigT, role: str) -> int:
    logger = get_logger(role)
    supervisor = Supervisor(role, logger)
    telemetry = _telemetry(config, role, supervisor)
    context = NodeContext(config, role, logger, supervisor, telemetry.meter)
    _handle_signals(context)
    try:
        return await _serve(main, context)
    except ConfigurationError as error:
        return _complain(error)
    except Exception as error:
        supervisor.report(error, "node failed")
        return NodeExitCode.FAILED
    finally:
        await supervisor.stop(_CLEANUP_SECONDS)
        await telemetry.close(_LAST_EXPORT_SECONDS)
        _remove_ready_file(config)


def _telemetry(config: NodeConfig, role: str, supervisor: Supervisor) -> Telemetry:
    if config.otlp_endpoint is None:
        return silent_telemetry()
    resource = {
        "service.name": f"hyperscale-{role}",
        "service.namespace": config.cluster_id,
        "service.instance.id": config.node_id,
        "deployment.environment.name": config.environment_id,
        "hyperscale.datacenter": config.datacenter,
    }
    described = {name: value for name, value in resource.items() if value}
    return exporting_telemetry(
        config.otlp_endpoint, config.otlp_interval_seconds, described, lambda: supervisor.failures
    )


async def _serve(main: Main[ConfigT], context: NodeContext[ConfigT]) -> int:
    supervisor = context.supervisor
    if context.config.parent_pid is not None:
        _ = supervisor.start(_watch_parent(context, context.config.parent_pid), name="parent-watch")
    abandoned = supervisor.start(_watch_abandoned(context), name="abandoned-watch")
    draining = supervisor.start(context.drain_requested.wait(), name="drain-wait")
    served = supervisor.start(_awaited(main(context)), name="main")
    await asyncio.wait({served, draining}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({served}, timeout=context.config.drain_timeout_seconds)
    if not served.done():
        context.logger.error("drain took too long", timeout_seconds=context.config.drain_timeout_seconds)
        return NodeExitCode.FAILED
    await served
    return NodeExitCode.FAILED if abandoned.done() else NodeExitCode.OK


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _watch_parent(context: NodeContext[ConfigT], parent_pid: int) -> None:
    # Polled, because Linux ties its death signal to the thread that started us, not to the process.
    # The id is given, not read: the parent may be gone before this line is reached.
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing tells when a parent ends
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    context.request_drain("the parent process is gone")


async def _watch_abandoned(context: NodeContext[ConfigT]) -> None:
    name = await context.supervisor.wait_abandoned()
    context.request_drain(f"{name} failed too often")


def _handle_signals(context: NodeContext[ConfigT]) -> None:
    def handle(received: signal.Signals) -> None:
        if context.drain_requested.is_set():
            _remove_ready_file(context.config)
            os._exit(_SIGNAL_EXIT_BASE + received)
        context.request_drain(received.name)

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, handle, each)


def _complain(error: ConfigurationError) -> int:
    sys.stderr.write(f"{error}\n")
    return error.exit_code


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _remove_ready_file(config: NodeConfig) -> None:
    if config.ready_file is not None:
        config.ready_file.unlink(missing_ok=True)
