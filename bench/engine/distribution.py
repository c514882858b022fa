"""A known latency distribution at the target, and what the engine makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.engine.engine_process import ANSWER_SECONDS, engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, pin, waited_for_core_seconds
from bench.engine.percentiles import percentile
from bench.engine.schedule import delay_seconds
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from hyperscale.workload.histogram import Histogram

USERS = 16
PERCENTS = (50, 95, 99)
ALLOWED_SHARE = 0.01
ALLOWED_MS = 0.5


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


def measure(settings: Settings) -> list[Row]:
    """One run; what the engine reports beside what the target has imposed in it."""
    with delaying_target() as target:
        pin(target.pid, TARGET_CORE)
        with engine_process(GENERATOR_CORE) as engine:
            waited_before = waited_for_core_seconds(engine.pid)
            run = engine.run(steady_load(USERS, 2 * settings.seconds, ("/",)), target.url)
            waited_seconds = waited_for_core_seconds(engine.pid) - waited_before
        held_seconds = target.end()
    print(f"  the engine waited {waited_seconds:.2f} s of {run.elapsed_seconds:.1f} s for its core", flush=True)
    return rows_of(Histogram.from_proto(run.steps[0].duration_ms), held_seconds)


def rows_of(measured: Histogram, held_seconds: Sequence[float]) -> list[Row]:
    """How far each percentile is off, as a part of what is allowed: 1 % and 0.5 ms.

    The notes also say what was asked of the target: how far it held from that is the machine's doing, not the engine's.
    """
    uncounted = abs(len(held_seconds) - measured.count)
    name = "injected latency: requests held - requests reported"
    held = Row(name, uncounted, Bound.AT_MOST, 0, note=f"{measured.count:,} requests reported")
    return [held, *(_row(measured, held_seconds, percent) for percent in PERCENTS)]


def _row(measured: Histogram, held_seconds: Sequence[float], percent: int) -> Row:
    value_ms, held_ms = measured.percentile(percent), percentile(held_seconds, percent) * 1000
    asked_ms = percentile(map(delay_seconds, range(len(held_seconds))), percent) * 1000
    share = abs(value_ms - held_ms) / (held_ms * ALLOWED_SHARE + ALLOWED_MS)
    note = f"measured {value_ms:.2f} ms, held {held_ms:.2f} ms, asked of the target {asked_ms:.2f} ms"
    return Row(f"injected latency: error of p{percent} / (1 % + 0.5 ms)", share, Bound.AT_MOST, 1.0, "x", note)


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
