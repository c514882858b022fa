"""Memory per virtual user: what an engine has grown by from being ready to its most, divided by the users."""

from __future__ import annotations

from bench.engine.engine_process import engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, most_resident_bytes, resident_bytes
from bench.engine.nginx_target import nginx_on
from bench.engine.settings import Settings
from bench.rows import Bound, Row

USERS = 5000


def measure(settings: Settings) -> list[Row]:
    """Everything counts that the run needs: connections, samples not folded yet, histograms, protobuf messages."""
    with nginx_on(TARGET_CORE, connections=3 * USERS) as nginx, engine_process(GENERATOR_CORE) as engine:
        ready = resident_bytes(engine.pid)
        run = engine.run(steady_load(USERS, settings.seconds), nginx.url)
        grown = most_resident_bytes(engine.pid) - ready
    assert run.progress.totals.vus_max == USERS, run.progress.totals.vus_max
    note = f"{ready / 2**20:.0f} MiB ready, {(ready + grown) / 2**20:.0f} MiB at most, {run.requests:,} requests"
    return [Row("memory per virtual user at 5,000", grown / USERS / 1024, Bound.AT_MOST, 25, "KiB", note)]
