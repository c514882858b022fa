"""Two engines on two cores against one, when the target is not the limit.

With two cores there is no third one for a target, so that each core has an engine and an nginx of its own. What one such
pair does is one engine's worth; what two of them do at the same time shows what engines take from each other.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.engine.engine_process import Run, engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, pin
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from tests.support.nginx import Nginx, running_nginx

CONNECTIONS = 64
CORES = (TARGET_CORE, GENERATOR_CORE)


def measure(settings: Settings) -> list[Row]:
    """The pairs alone, then both at once; the median over the rounds."""
    with (
        running_nginx(keepalive_requests=1_000_000_000) as first,
        running_nginx(keepalive_requests=1_000_000_000) as second,
    ):
        targets = (first, second)
        for target, core in zip(targets, CORES, strict=True):
            pin(target.pid, core)
        ratios = [_round(targets, settings.seconds) for _ in range(settings.rounds)]
    note = "a pair of engine and target on each core, both pairs against one"
    return [Row("two engines on two cores / one", statistics.median(ratios), Bound.AT_LEAST, 1.8, "x", note)]


def _round(targets: Sequence[Nginx], seconds: float) -> float:
    alone = [_pair(target, core, seconds) for target, core in zip(targets, CORES, strict=True)]
    with ThreadPoolExecutor(len(CORES)) as threads:
        together = list(threads.map(_pair, targets, CORES, [seconds] * len(CORES)))
    ratio = sum(_rate(run) for run in together) / statistics.mean(_rate(run) for run in alone)
    print(
        f"  alone {', '.join(f'{_rate(run):,.0f}/s' for run in alone)}"
        f"   together {', '.join(f'{_rate(run):,.0f}/s' for run in together)}   {ratio:.2f}",
        flush=True,
    )
    return ratio


def _pair(target: Nginx, core: int, seconds: float) -> Run:
    with engine_process(core) as engine:
        return engine.run(steady_load(CONNECTIONS, seconds), target.url)


def _rate(run: Run) -> float:
    return run.requests / run.elapsed_seconds
