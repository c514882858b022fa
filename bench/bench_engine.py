"""Requests per second and CPU per request of one engine beside wrk, against the same nginx, in turns.

nginx has core 0, the generator core 1. Both sides send GET / on 64 connections; the engine as a workflow of three steps.
Run it with the suite on PYTHONPATH: `python bench/bench_engine.py [--rounds N] [--seconds S]`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2  # noqa: E402
from hyperscale.worker.engine.frames import FrameDecoder, encode_frame  # noqa: E402
from tests.support.nginx import Nginx, running_nginx  # noqa: E402

TARGET_CORE = 0
GENERATOR_CORE = 1
CONNECTIONS = 64
RESULTS = REPOSITORY / "bench" / "results" / "engine.jsonl"


@dataclass(frozen=True, slots=True)
class Sample:
    """One generator in one round."""

    requests: int
    elapsed_seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.elapsed_seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.requests * 1e6


def main() -> None:
    arguments = parse_arguments()
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        print(f"BENCHMARK SKIPPED: {', '.join(missing)} not installed (apt-get install nginx-light wrk util-linux)")
        return
    if (os.cpu_count() or 1) < 2:
        print("BENCHMARK SKIPPED: target and generator need a core each")
        return
    with running_nginx(keepalive_requests=1_000_000_000) as nginx:
        os.sched_setaffinity(nginx.pid, {TARGET_CORE})
        rounds = [measure_round(nginx, number, arguments) for number in range(arguments.rounds)]
    record(rounds, arguments.seconds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0)
    return parser.parse_args()


def measure_round(nginx: Nginx, number: int, arguments: argparse.Namespace) -> dict[str, Sample]:
    """Both generators, the one that begins alternating."""
    generators = {"wrk": run_wrk, "engine": run_engine}
    order = list(generators) if number % 2 == 0 else list(reversed(generators))
    samples = {}
    for name in order:
        before = nginx.requests()
        samples[name] = sample = generators[name](nginx.url, arguments.seconds)
        # wrk leaves out what is under way at its end: one request per connection.
        lost = nginx.requests() - before - sample.requests
        assert abs(lost) <= (0 if name == "engine" else 2 * CONNECTIONS), f"{name}: target counted {lost:+} requests"
    wrk, engine = samples["wrk"], samples["engine"]
    print(
        f"round {number + 1}: wrk {wrk.rate:9,.0f}/s {wrk.cpu_us:5.2f} us   engine {engine.rate:9,.0f}/s"
        f" {engine.cpu_us:5.2f} us   rate {engine.rate / wrk.rate:.2f}   CPU {engine.cpu_us / wrk.cpu_us:.2f}",
        flush=True,
    )
    return samples


def run_wrk(url: str, seconds: float) -> Sample:
    command = ["taskset", "-c", str(GENERATOR_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}", f"{url}/"]
    before = children_cpu_seconds()
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 20).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", output)
    assert found, output
    return Sample(int(found[1]), float(found[2]), children_cpu_seconds() - before)


def run_engine(url: str, seconds: float) -> Sample:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "hyperscale.worker.engine", "--core", str(GENERATOR_CORE)]
    with ours:
        with theirs:
            process = subprocess.Popen([*command, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        try:
            ours.settimeout(seconds + 20)
            return drive(ours, process.pid, start_command(url, seconds))
        finally:
            ours.close()
            process.wait(timeout=10)


def drive(control: socket.socket, pid: int, command: engine_pb2.EngineCommand) -> Sample:
    """Start the load once the engine is ready; CPU counts from then, as importing is no load."""
    decoder = FrameDecoder()
    cpu_before = 0.0
    while data := control.recv(1 << 16):
        for frame in decoder.feed(data):
            report = engine_pb2.EngineReport.FromString(frame)
            if report.HasField("ready"):
                cpu_before = cpu_seconds(pid)
                control.sendall(encode_frame(command))
            elif report.progress.status != progress_pb2.SHARD_STATUS_RUNNING:
                return sample_of(report.progress, cpu_seconds(pid) - cpu_before)
    raise RuntimeError("the engine ended without a last report")


def sample_of(progress: engine_pb2.EngineProgress, cpu: float) -> Sample:
    steps = progress.totals.steps
    failures = [failure for step in steps for failure in step.failures]
    assert progress.status == progress_pb2.SHARD_STATUS_COMPLETED, progress
    assert not failures, failures
    elapsed = (progress.finished_at.ToNanoseconds() - progress.started_at.ToNanoseconds()) / 1e9
    return Sample(sum(step.total_count for step in steps), elapsed, cpu)


def start_command(url: str, seconds: float) -> engine_pb2.EngineCommand:
    workflow = workflow_pb2.Workflow(name="bench", constant_vus=workflow_pb2.ConstantVus(vus=CONNECTIONS))
    workflow.constant_vus.duration.FromMilliseconds(round(seconds * 1000))
    for name in ("first", "second", "third"):
        workflow.steps.add(name=name).http.url = "/"
    return engine_pb2.EngineCommand(start=engine_pb2.EngineStart(run_id=1, workflow=workflow, target=url))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu_seconds() -> float:
    """User and system time of the processes waited for so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def record(rounds: list[dict[str, Sample]], seconds: float) -> None:
    """Print the medians of the rounds' ratios and append everything to the results."""
    rate = statistics.median(samples["engine"].rate / samples["wrk"].rate for samples in rounds)
    cpu = statistics.median(samples["engine"].cpu_us / samples["wrk"].cpu_us for samples in rounds)
    print(f"engine / wrk, median of {len(rounds)} rounds: requests/s {rate:.2f}, CPU per request {cpu:.2f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "benchmark": "engine",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": seconds,
        "rate_ratio": rate,
        "cpu_ratio": cpu,
        "rounds": [{name: asdict(sample) for name, sample in samples.items()} for samples in rounds],
    }
    with RESULTS.open("a") as results:
        results.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
