"""Time from the start of a submission to the first request at the target, on a warm local cluster.

Two ways to submit, the client of a running program and `hyperscale submit`, beside two peers in the same rounds: one request
straight to the target, and the start of a bare interpreter. Run it with the suite on PYTHONPATH: `python bench/bench_submit.py [--rounds N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rows import append
from hyperscale.client import Client
from hyperscale.workload.jobfile import load_job_file
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import COMMAND, local_cluster
from tests.support.target import BundledTarget, bundled_target

IMPORTS = "import hyperscale.client.cli.submitting"
LIMIT_MS = 300.0
FIRST_REQUEST_WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.001


class RequestWatch:
    """Sees over a connection of its own when the target takes another request."""

    def __init__(self, target: BundledTarget) -> None:
        self._connection = http.client.HTTPConnection(target.url.removeprefix("http://"), timeout=5)

    def count(self) -> int:
        """Requests so far; asking is not one."""
        self._connection.request("GET", "/__stats")
        requests: int = json.load(self._connection.getresponse())["requests"]
        return requests

    def wait_for_more_than(self, count: int) -> float:
        """When the next one was seen."""
        deadline = time.perf_counter() + FIRST_REQUEST_WITHIN_SECONDS
        while self.count() <= count:
            if time.perf_counter() > deadline:
                raise TimeoutError("no request has reached the target")
            time.sleep(POLL_SECONDS)
        return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, bundled_target() as target:
        job = write_job(Path(name), target.url, workflow(shared_iterations={"vus": 1, "iterations": 1}))
        with local_cluster(Path(name)) as cluster:
            environment = {**os.environ, "HYPERSCALE_GATE": cluster.gates[0]}
            record(asyncio.run(measure(target, job, cluster.gates, environment, rounds)))


async def measure(
    target: BundledTarget, job: Path, gates: tuple[str, ...], environment: Mapping[str, str], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of every round, by what was measured; the first round warms up and is left out."""
    watch = RequestWatch(target)
    samples: dict[str, list[float]] = {}
    async with Client(gates) as client:
        for _ in range(rounds + 1):
            round_ms = {
                "request to the target": timed(lambda: request_once(target)),
                "python -c pass": timed(lambda: run_python("pass")),
                "python -c imports": timed(lambda: run_python(IMPORTS)),
                "Client.submit": await submit_in_process(client, job, watch),
                "hyperscale submit": await submit_by_command(client, job, environment, watch),
            }
            for name, value in round_ms.items():
                samples.setdefault(name, []).append(value)
    return {name: values[1:] for name, values in samples.items()}


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def request_once(target: BundledTarget) -> None:
    connection = http.client.HTTPConnection(target.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


async def submit_in_process(client: Client, job: Path, watch: RequestWatch) -> float:
    submission = load_job_file(job)
    before = watch.count()
    started = time.perf_counter()
    ack = await client.submit(submission)
    seen = watch.wait_for_more_than(before)
    _ = await client.result(ack.job_id, wait_seconds=math.inf)
    return (seen - started) * 1000


async def submit_by_command(client: Client, job: Path, environment: Mapping[str, str], watch: RequestWatch) -> float:
    before = watch.count()
    started = time.perf_counter()
    process = start_command(job, environment)
    seen = watch.wait_for_more_than(before)
    out, _ = process.communicate(timeout=30)
    _ = await client.result(out.strip(), wait_seconds=math.inf)
    return (seen - started) * 1000


def start_command(job: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, "submit", str(job)], stdout=subprocess.PIPE, text=True, env=environment)


def record(samples: Mapping[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name, values in samples.items():
        print(f"{name:<24} median {medians[name]:8.1f} ms   min {min(values):8.1f}   max {max(values):8.1f}")
    command, interpreter, imports = (
        medians[name] for name in ("hyperscale submit", "python -c pass", "python -c imports")
    )
    ratios = {
        "hyperscale submit / python -c pass": command / interpreter,
        "hyperscale submit / limit": command / LIMIT_MS,
        "Client.submit / request to the target": medians["Client.submit"] / medians["request to the target"],
        "interpreter start, share of hyperscale submit": interpreter / command,
        "imports, share of hyperscale submit": (imports - interpreter) / command,
    }
    for name, ratio in ratios.items():
        print(f"{name:<48} {ratio:.2f}")
    append("submit", {"medians_ms": medians, "ratios": ratios})


if __name__ == "__main__":
    main()
