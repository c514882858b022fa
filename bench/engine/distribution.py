"""A known latency distribution at the target, and what the engine makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.engine.engine_process import ANSWER_SECONDS, engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, least_disturbed, pin, waited_for_core_seconds
from bench.engine.percentiles import percentile
from bench.engine.schedule import delay_seconds
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from hyperscale.workload.histogram import Histogram

USERS = 16
PERCENTS = (50, 95, 99)
ALLOWED_SHARE = 0.01
ALLOWED_MS = 0.5
TOLERABLE_WAIT = 0.05
"""Part of the run for which others may keep the engine from its core."""


class DelayingTarget:
    """The target in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self._process = process

    def end(self) -> list[float]:
        """How many seconds it has held each request. All connections must be closed."""
        output, _ = self._process.communicate(timeout=ANSWER_SECONDS)
        held_seconds: list[float] = json.loads(output)
        return held_seconds


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """What the engine has reported, and what the target has imposed."""

    measured: Histogram
    held_seconds: Sequence[float]

    @property
    def uncounted(self) -> int:
        """Requests that one side alone has counted."""
        return abs(len(self.held_seconds) - self.measured.count)

    def rows(self) -> list[Row]:
        """How far each percentile is off, as a part of what is allowed: 1 % and 0.5 ms.

        The notes also say what was asked of the target: how far it held from that is the machine's doing, not the engine's.
        """
        return [self._row(percent) for percent in PERCENTS]

    def _row(self, percent: int) -> Row:
        value_ms, held_ms = self.measured.percentile(percent), percentile(self.held_seconds, percent) * 1000
        asked_ms = percentile(map(delay_seconds, range(len(self.held_seconds))), percent) * 1000
        share = abs(value_ms - held_ms) / (held_ms * ALLOWED_SHARE + ALLOWED_MS)
        note = f"measured {value_ms:.2f} ms, held {held_ms:.2f} ms, asked of the target {asked_ms:.2f} ms"
        return Row(f"injected latency: error of p{percent} / (1 % + 0.5 ms)", share, Bound.AT_MOST, 1.0, "x", note)


def measure(settings: Settings) -> list[Row]:
    """Percentiles of the least disturbed run; no run may lose a request."""
    runs: list[LatencyRun] = []
    best = least_disturbed(partial(_attempt, 2 * settings.seconds, runs), TOLERABLE_WAIT)
    uncounted, note = sum(run.uncounted for run in runs), f"{sum(run.measured.count for run in runs):,} reported"
    name = "injected latency: requests held - requests reported"
    return [Row(name, uncounted, Bound.AT_MOST, 0, note=note), *best.rows()]


def _attempt(seconds: float, runs: list[LatencyRun]) -> tuple[float, LatencyRun]:
    """The part of the time for which the engine waited for its core, and the run, which is also added to the others."""
    with delaying_target() as target:
        pin(target.pid, TARGET_CORE)
        with engine_process(GENERATOR_CORE) as engine:
            waited_before = waited_for_core_seconds(engine.pid)
            run = engine.run(steady_load(USERS, seconds, ("/",)), target.url)
            waited_seconds = waited_for_core_seconds(engine.pid) - waited_before
        runs.append(LatencyRun(Histogram.from_proto(run.steps[0].duration_ms), target.end()))
    print(f"  the engine waited {waited_seconds:.2f} s of {run.elapsed_seconds:.1f} s for its core", flush=True)
    return waited_seconds / run.elapsed_seconds, runs[-1]


@contextmanager
def delaying_target() -> Iterator[DelayingTarget]:
    """A target for the length of the block."""
    repository = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "bench.engine.delaying_target"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=repository) as process:
        try:
            yield DelayingTarget(process)
        finally:
            process.terminate()
