"""Declared and coded HTTP/1.1 steps beside wrk and Locust, in turns; what the target counted beside what was reported."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.engine.locust_peer import run_locust
from bench.engine.machine import TARGET_CORE, cpu_seconds, least_disturbed, machine_busy_seconds
from bench.engine.nginx_target import nginx_on
from bench.engine.peers import Sample, run_coded, run_declared, run_wrk, run_wrk_three_paths
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from tests.support.nginx import CONSTANT_ANSWER, Nginx

CONNECTIONS = 64
FILE_BYTES = 1024
TOLERABLE_DISTURBANCE = 0.35
"""Cores that others may use; starting the generator is counted in."""
OURS = frozenset({"declared", "coded"})
Generator = Callable[[str, float, int], Sample]


def measure(settings: Settings) -> list[Row]:
    """Once with a target that serves a file, and once with one that costs less than any generator."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "page.html").write_bytes(b"x" * FILE_BYTES)
        rows = _compare("1 KiB file", f"root {directory}; try_files /page.html =404;", settings)
    return rows + _compare("constant answer", CONSTANT_ANSWER, replace(settings, locust=None))


def _compare(what: str, page: str, settings: Settings) -> list[Row]:
    """Rate and CPU per request as ratios: the median over the rounds of the ratio within one round."""
    generators: dict[str, Generator] = {
        "wrk": run_wrk,
        "wrk, 3 paths": run_wrk_three_paths,
        "declared": run_declared,
        "coded": run_coded,
    }
    if settings.locust:
        generators["Locust"] = partial(run_locust, settings.locust)
    print(f"  target: nginx, {what}", flush=True)
    with nginx_on(TARGET_CORE, page=page) as nginx:
        track = Track(nginx, settings.seconds)
        rounds = []
        for number in range(settings.rounds):
            order = list(generators)[:: -1 if number % 2 else 1]
            rounds.append({name: track.run(name, generators[name]) for name in order})
    return _rows(what, rounds, track.uncounted)


class Track:
    """Where generators run, one after the other."""

    def __init__(self, nginx: Nginx, seconds: float) -> None:
        self.uncounted = 0
        """Requests that one side alone has counted, over all runs of our own generators."""
        self._nginx = nginx
        self._seconds = seconds

    def run(self, name: str, generator: Generator) -> Sample:
        """The least disturbed run of several."""
        return least_disturbed(partial(self._attempt, name, generator), TOLERABLE_DISTURBANCE)

    def _attempt(self, name: str, generator: Generator) -> tuple[float, Sample]:
        """How many cores others kept busy, the start of the generator counted in; and the sample."""
        counted = self._nginx.requests()
        started, target_before, all_before = time.perf_counter(), cpu_seconds(self._nginx.pid), machine_busy_seconds()
        sample = generator(self._nginx.url, self._seconds, CONNECTIONS)
        target_seconds = cpu_seconds(self._nginx.pid) - target_before
        others_seconds = machine_busy_seconds() - all_before - target_seconds - sample.cpu_seconds
        disturbance = others_seconds / (time.perf_counter() - started)
        if name in OURS:
            self.uncounted += abs(self._nginx.requests() - counted - sample.requests)
        print(
            f"  {name:<12} {sample.rate:9,.0f}/s   CPU per request {sample.cpu_us:6.2f} us"
            f"   busy: generator {sample.cpu_seconds / sample.elapsed_seconds:4.0%}"
            f"   target {target_seconds / sample.elapsed_seconds:4.0%}   others {disturbance:4.0%}",
            flush=True,
        )
        return disturbance, sample


def _rows(what: str, rounds: list[dict[str, Sample]], uncounted: int) -> list[Row]:
    def rate(ours: str, peer: str) -> float:
        return statistics.median(samples[ours].rate / samples[peer].rate for samples in rounds)

    def cpu(ours: str, peer: str) -> float:
        return statistics.median(samples[ours].cpu_us / samples[peer].cpu_us for samples in rounds)

    def note(ours: str) -> str:
        scripted = "wrk, 3 paths"
        return f"wrk with three scripted paths: rate {rate(ours, scripted):.2f}, CPU {cpu(ours, scripted):.2f}"

    rows = [
        Row(f"{what}: declared, rate / wrk", rate("declared", "wrk"), Bound.AT_LEAST, 0.95, "x", note("declared")),
        Row(f"{what}: declared, CPU per request / wrk", cpu("declared", "wrk"), Bound.AT_MOST, 1.3, "x"),
        Row(f"{what}: coded, rate / wrk", rate("coded", "wrk"), Bound.AT_LEAST, 0.7, "x", note("coded")),
        Row(
            f"{what}: requests counted - requests reported", uncounted, Bound.AT_MOST, 0, "", f"{2 * len(rounds)} runs"
        ),
    ]
    if "Locust" in rounds[0]:
        rows += [
            Row(f"{what}: declared, rate / Locust FastHttpUser", rate("declared", "Locust"), Bound.AT_LEAST, 10, "x"),
            Row(f"{what}: coded, rate / Locust FastHttpUser", rate("coded", "Locust"), Bound.AT_LEAST, 6, "x"),
        ]
    return rows
