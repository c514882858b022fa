"""Whether the memory of gate, manager, worker and engines stays where it is while a job runs.

One job of 2,000 users over a local cluster; resident memory of every process each second, and the slope of the straight line
through the samples after warm-up. A process is flat when its slope is below its noise, which is what a process that does not
grow at all may show: the system gives and takes memory in steps of its own, and `NOISE_KIB` of such steps at the wrong end of
the settled part look like a slope of `NOISE_KIB` over its length. Ends with 1 when a process is not flat.

Run it with the suite on PYTHONPATH: `python bench/bench_memory.py [--seconds S] [--users N]`.
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
import numpy.typing as npt

from bench.engine.machine import children_of, resident_bytes
from bench.rows import append
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.target import bundled_target

USERS = 2000
# A request that is answered at once and one that waits: some 8,000 requests per second, which leaves the cores room.
STEPS = ({"name": "prompt", "http": {"url": "/"}}, {"name": "waiting", "http": {"url": "/delay/500"}})
WARM_UP_SECONDS = 210.0
"""The gate keeps the last 200 events of a job, one per second: until they are there, it grows by design."""
WARM_UP_SHARE = 0.5
"""Of a run that is too short for that, of which the gate is not judged."""
NOISE_KIB = 256.0
"""Two chunks by which the C library extends its heap (128 KiB): one for the interpreter's objects, one for everything else."""
SAMPLE_EVERY_SECONDS = 1.0
START_SECONDS = 5.0
END_SECONDS = 60.0
"""How much longer the job would run: it is cancelled when the last sample has been taken."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the run (default %(default)s)")
    parser.add_argument("--users", type=int, default=USERS, help="users (default %(default)s)")
    arguments = parser.parse_args()
    seconds, users = arguments.seconds, arguments.users
    with tempfile.TemporaryDirectory() as name, bundled_target() as target, local_cluster(Path(name)) as cluster:
        load = {"vus": users, "duration": f"{round(seconds + START_SECONDS + END_SECONDS)}s"}
        job_id = cluster.submit(write_job(Path(name), target.url, workflow(steps=STEPS, constant_vus=load)))
        time.sleep(START_SECONDS)
        samples = sample(processes(cluster), seconds)
        status = cluster.result(job_id)["status"]
        assert status == "running", f"the job is {status}: this is not the memory of a run"
        cluster.command("cancel", job_id)
    if not record(samples, users):
        sys.exit(1)


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


def record(samples: Mapping[str, Sequence[int]], users: int) -> bool:
    """Print each process's slope and what to think of it, and append them to the results; whether all are flat."""
    settled = {name: after_warm_up(values) for name, values in samples.items()}
    slopes = {name: slope_kib_per_minute(values) for name, values in settled.items()}
    noise = NOISE_KIB / min(minutes_of(values)[-1] for values in settled.values())
    seconds = round(len(next(iter(settled.values()))) * SAMPLE_EVERY_SECONDS)
    print(f"slope of the last {seconds} s; below {noise:.0f} KiB/min is noise")
    for name, values in samples.items():
        verdict = "flat" if slopes[name] < noise else "GROWS"
        print(f"{name:<10} {values[-1] / 2**20:7.1f} MiB at the end   slope {slopes[name]:+8.1f} KiB/min   {verdict}")
    figures = {"users": users, "slopes_kib_per_minute": slopes, "noise_kib_per_minute": noise}
    append("memory", figures | {"samples_bytes": dict(samples)})
    return all(slope < noise for slope in slopes.values())


def after_warm_up(values: Sequence[int]) -> Sequence[int]:
    """The settled part of a run."""
    warm_up = round(WARM_UP_SECONDS / SAMPLE_EVERY_SECONDS)
    return values[warm_up if warm_up < len(values) * 0.8 else round(len(values) * WARM_UP_SHARE) :]


def minutes_of(values: Sequence[int]) -> npt.NDArray[np.float64]:
    """When each of the values was taken."""
    return np.arange(len(values)) * SAMPLE_EVERY_SECONDS / 60


def slope_kib_per_minute(values: Sequence[int]) -> float:
    """Of the straight line that fits the values best."""
    return float(np.polyfit(minutes_of(values), np.array(values, dtype=np.float64) / 1024, 1)[0])


if __name__ == "__main__":
    main()
