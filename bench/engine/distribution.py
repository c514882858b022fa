"""A known latency distribution at the target, and what the engine makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engine.engine_process import engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, pin
from bench.engine.schedule import percentile_seconds
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from hyperscale.workload.histogram import Histogram

USERS = 16
QUANTILES = (0.5, 0.95, 0.99)
ALLOWED_SHARE = 0.01
ALLOWED_MS = 0.5


def measure(settings: Settings) -> list[Row]:
    """How far each percentile is off, as a part of what is allowed: 1 % and 0.5 ms."""
    with _delaying_target() as url, engine_process(GENERATOR_CORE) as engine:
        run = engine.run(steady_load(USERS, 2 * settings.seconds, ("/",)), url)
    measured = Histogram.from_proto(run.steps[0].duration_ms)
    return [_row(measured, run.requests, quantile) for quantile in QUANTILES]


def _row(measured: Histogram, count: int, quantile: float) -> Row:
    value_ms, known_ms = measured.percentile(quantile * 100), percentile_seconds(count, quantile) * 1000
    share = abs(value_ms - known_ms) / (known_ms * ALLOWED_SHARE + ALLOWED_MS)
    note = f"measured {value_ms:.2f} ms, known {known_ms:.2f} ms, {count:,} requests"
    name = f"injected latency: error of p{quantile * 100:.0f} / (1 % + 0.5 ms)"
    return Row(name, share, Bound.AT_MOST, 1.0, "x", note)


@contextmanager
def _delaying_target() -> Iterator[str]:
    repository = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "bench.engine.delaying_target"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repository)
    assert process.stdout is not None
    try:
        pin(process.pid, TARGET_CORE)
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate(timeout=10)
