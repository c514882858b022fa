"""Whether the memory of gate, manager, worker and engines stays where it is while a job runs.

One job of 2,000 users over a local cluster; resident memory of every process each second, and the slope of the straight line
through the samples after warm-up. Run it with the suite on PYTHONPATH: `python bench/bench_memory.py [--seconds S]`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from bench.engine.machine import children_of, resident_bytes
from bench.engine.rows import append
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.target import bundled_target

USERS = 2000
# A request that is answered at once and one that waits: some 8,000 requests per second, which leaves the cores room.
STEPS = ({"name": "prompt", "http": {"url": "/"}}, {"name": "waiting", "http": {"url": "/delay/500"}})
WARM_UP_SHARE = 0.7
"""The gate keeps the last 200 events of a job, one per second: until they are there, it grows by design."""
SAMPLE_EVERY_SECONDS = 1.0
START_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the run (default %(default)s)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name, bundled_target() as target, local_cluster(Path(name)) as cluster:
        load = {"vus": USERS, "duration": f"{round(seconds + START_SECONDS)}s"}
        job_id = cluster.submit(write_job(Path(name), target.url, workflow(steps=STEPS, constant_vus=load)))
        time.sleep(START_SECONDS)
        samples = sample(processes(cluster), seconds)
        status = cluster.result(job_id)["status"]
        assert status == "running", f"the job is {status}: this is not the memory of a run"
        cluster.command("cancel", job_id)
    record(samples, seconds)


def processes(cluster: LocalCluster) -> dict[str, int]:
    """Process ids by what they are."""
    found = {role: cluster.node(role)["pid"] for role in ("gate", "manager", "worker")}
    engines = children_of([found["worker"]])
    return found | {f"engine {number}": pid for number, pid in enumerate(engines)}


def sample(pids: Mapping[str, int], seconds: float) -> dict[str, list[int]]:
    """Resident bytes of each process, one value per second."""
    samples: dict[str, list[int]] = {name: [] for name in pids}
    start = time.monotonic()
    for number in range(round(seconds / SAMPLE_EVERY_SECONDS)):
        time.sleep(max(0.0, start + number * SAMPLE_EVERY_SECONDS - time.monotonic()))
        for name, pid in pids.items():
            samples[name].append(resident_bytes(pid))
    return samples


def record(samples: Mapping[str, Sequence[int]], seconds: float) -> None:
    """Print each process's slope and append it to the results."""
    slopes = {name: slope_kib_per_minute(values) for name, values in samples.items()}
    for name, values in samples.items():
        print(f"{name:<10} {values[-1] / 2**20:7.1f} MiB at the end   slope {slopes[name]:+8.1f} KiB/min")
    append(
        "memory", {"seconds": seconds, "users": USERS, "slopes_kib_per_minute": slopes, "samples_bytes": dict(samples)}
    )


def slope_kib_per_minute(values: Sequence[int]) -> float:
    """Of the straight line that fits the values after warm-up best."""
    settled = np.array(values[round(len(values) * WARM_UP_SHARE) :], dtype=np.float64) / 1024
    minutes = np.arange(settled.size) * SAMPLE_EVERY_SECONDS / 60
    return float(np.polyfit(minutes, settled, 1)[0])


if __name__ == "__main__":
    main()
