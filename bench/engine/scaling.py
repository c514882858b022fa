"""Two engines on two cores against one, when the target is not the limit.

With two cores there is no third one for a target, so that each core has an engine and an nginx of its own. What one such
pair does is one engine's worth; what two of them do at the same time shows what engines take from each other.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.engine.machine import GENERATOR_CORE, TARGET_CORE
from bench.engine.nginx_target import nginx_on
from bench.engine.peers import run_declared
from bench.engine.settings import Settings
from bench.rows import Bound, Row

CONNECTIONS = 64
CORES = (TARGET_CORE, GENERATOR_CORE)


def measure(settings: Settings) -> list[Row]:
    """The pairs alone, then both at once; the median over the rounds."""
    with nginx_on(TARGET_CORE) as first, nginx_on(GENERATOR_CORE) as second:
        urls = (first.url, second.url)
        ratios = [_round(urls, settings.seconds) for _ in range(settings.rounds)]
    note = "a pair of engine and target on each core, both pairs against one"
    return [Row("two engines on two cores / one", statistics.median(ratios), Bound.AT_LEAST, 1.8, "x", note)]


def _round(urls: Sequence[str], seconds: float) -> float:
    run_pair = partial(run_declared, seconds=seconds, connections=CONNECTIONS)
    alone = [run_pair(url, core=core).rate for url, core in zip(urls, CORES, strict=True)]
    with ThreadPoolExecutor(len(CORES)) as threads:
        pairs = [threads.submit(run_pair, url, core=core) for url, core in zip(urls, CORES, strict=True)]
    together = [pair.result().rate for pair in pairs]
    ratio = sum(together) / statistics.mean(alone)
    print(
        f"  alone {', '.join(f'{rate:,.0f}/s' for rate in alone)}"
        f"   together {', '.join(f'{rate:,.0f}/s' for rate in together)}   {ratio:.2f}",
        flush=True,
    )
    return ratio
