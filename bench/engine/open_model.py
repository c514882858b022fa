"""An open model against a target that stops for a second: the answer is known, and a generator that waits with its target
does not find it (coordinated omission).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from bench.engine.engine_process import Run, engine_process
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE
from bench.engine.nginx_target import nginx_on
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from hyperscale.v1 import workflow_pb2
from hyperscale.workload.histogram import Histogram

RATE = 200
SECONDS = 20
STALL_SECONDS = 1.0
STALL_AFTER_REPORTS = 8
USERS = 300
"""More than are ever under way: the stall makes RATE requests wait."""


class Stall:
    """Stops a process once, for about a second."""

    def __init__(self, pid: int) -> None:
        self.seconds = 0.0
        """How long it was stopped."""
        self._pid = pid
        self._thread = threading.Thread(target=self._stop_and_continue)
        self._seen = 0

    def on_second(self) -> None:
        """Called each second; one of them starts the stall."""
        self._seen += 1
        if self._seen == STALL_AFTER_REPORTS:
            self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _stop_and_continue(self) -> None:
        stopped = time.perf_counter()
        os.kill(self._pid, signal.SIGSTOP)
        try:
            time.sleep(STALL_SECONDS)
        finally:
            os.kill(self._pid, signal.SIGCONT)
        self.seconds = time.perf_counter() - stopped


def measure(_: Settings) -> list[Row]:
    """Requests due during the stall are answered at its end, one waiting 1/rate longer than the other.

    The longest waits for the whole stall; of n requests, n/100 wait longer than the 99th percentile.
    """
    with nginx_on(TARGET_CORE) as nginx:
        stall = Stall(nginx.pid)
        run = _run(nginx.url, stall.on_second)
        stall.join()
    durations = Histogram.from_proto(run.steps[0].duration_ms)
    known_ms = stall.seconds * 1000
    return [
        _row("p99", durations.percentile(99), known_ms - RATE * SECONDS / 100 / RATE * 1000),
        _row("maximum", durations.percentile(100), known_ms),
        Row("open model: starts due - requests reported", RATE * SECONDS - run.requests, Bound.AT_MOST, 0),
    ]


def _run(url: str, on_second: Callable[[], None]) -> Run:
    load = workflow_pb2.ConstantArrivalRate(rate=RATE, pre_allocated_vus=USERS)
    load.duration.FromSeconds(SECONDS)
    workflow = workflow_pb2.Workflow(name="bench", constant_arrival_rate=load)
    workflow.steps.add(name="only").http.url = "/"
    with engine_process(GENERATOR_CORE) as engine:
        return engine.run(workflow, url, on_second=on_second)


def _row(name: str, measured_ms: float, known_ms: float) -> Row:
    error = abs(measured_ms / known_ms - 1) * 100
    note = f"measured {measured_ms:.0f} ms, known {known_ms:.0f} ms"
    return Row(f"open model, target stalls 1 s at {RATE}/s: error of {name}", error, Bound.AT_MOST, 5, "%", note)
