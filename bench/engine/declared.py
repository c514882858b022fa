"""Declared HTTP/1.1 steps beside wrk and Locust, in turns; what the target counted beside what was reported."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.engine.locust_peer import run_locust
from bench.engine.machine import TARGET_CORE, cpu_seconds, machine_busy_seconds, pin
from bench.engine.peers import Sample, run_engine, run_wrk, run_wrk_three_paths
from bench.engine.rows import Bound, Row
from bench.engine.settings import Settings
from tests.support.nginx import CONSTANT_ANSWER, Nginx, running_nginx

CONNECTIONS = 64
FILE_BYTES = 1024
Generator = Callable[[str, float, int], Sample]


def measure(settings: Settings) -> list[Row]:
    """Once with a target that serves a file, and once with one that costs less than any generator."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "page.html").write_bytes(b"x" * FILE_BYTES)
        rows = _compare("1 KiB file", f"root {directory}; try_files /page.html =404;", settings)
    return rows + _compare("constant answer", CONSTANT_ANSWER, replace(settings, locust=None))


def _compare(what: str, page: str, settings: Settings) -> list[Row]:
    """Rate and CPU per request as ratios: the median over the rounds of the ratio within one round."""
    generators: dict[str, Generator] = {"wrk": run_wrk, "wrk, 3 paths": run_wrk_three_paths, "engine": run_engine}
    if settings.locust:
        generators["Locust"] = partial(run_locust, settings.locust)
    uncounted = 0
    rounds = []
    print(f"  target: nginx, {what}", flush=True)
    with running_nginx(keepalive_requests=1_000_000_000, page=page) as nginx:
        pin(nginx.pid, TARGET_CORE)
        for number in range(settings.rounds):
            samples = {}
            for name in list(generators)[:: -1 if number % 2 else 1]:
                counted = nginx.requests()
                samples[name] = _run(name, generators[name], nginx, settings.seconds)
                if name == "engine":
                    uncounted += abs(nginx.requests() - counted - samples[name].requests)
            rounds.append(samples)
    return _rows(what, rounds, uncounted)


def _run(name: str, generator: Generator, nginx: Nginx, seconds: float) -> Sample:
    started, before, busy_before = time.perf_counter(), cpu_seconds(nginx.pid), machine_busy_seconds()
    sample = generator(nginx.url, seconds, CONNECTIONS)
    target_seconds = cpu_seconds(nginx.pid) - before
    others = machine_busy_seconds() - busy_before - target_seconds - sample.cpu_seconds
    print(
        f"  {name:<12} {sample.rate:9,.0f}/s   CPU per request {sample.cpu_us:6.2f} us"
        f"   busy: generator {sample.cpu_seconds / sample.elapsed_seconds:4.0%}"
        f"   target {target_seconds / sample.elapsed_seconds:4.0%}   others {others / (time.perf_counter() - started):4.0%}",
        flush=True,
    )
    return sample


def _rows(what: str, rounds: list[dict[str, Sample]], uncounted: int) -> list[Row]:
    def rate(peer: str) -> float:
        return statistics.median(samples["engine"].rate / samples[peer].rate for samples in rounds)

    def cpu(peer: str) -> float:
        return statistics.median(samples["engine"].cpu_us / samples[peer].cpu_us for samples in rounds)

    note = f"with the three paths scripted in wrk: rate {rate('wrk, 3 paths'):.2f}, CPU {cpu('wrk, 3 paths'):.2f}"
    rows = [
        Row(f"declared, 3 steps, {what}: rate / wrk", rate("wrk"), Bound.AT_LEAST, 0.95, "x", note),
        Row(f"declared, 3 steps, {what}: CPU per request / wrk", cpu("wrk"), Bound.AT_MOST, 1.3, "x"),
        Row(f"{what}: requests counted - requests reported", uncounted, Bound.AT_MOST, 0, "", f"{len(rounds)} runs"),
    ]
    if "Locust" in rounds[0]:
        rows.append(Row(f"declared, 3 steps, {what}: rate / Locust", rate("Locust"), Bound.AT_LEAST, 10, "x"))
    return rows
