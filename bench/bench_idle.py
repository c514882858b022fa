"""What a node costs that has nothing to do: processor time of gate, manager, worker, and of the membership library alone.

All are members of their groups and are probed by others. A share of a core is user plus system time over the time that passed,
the median of several rounds; the engines of the worker, which are processes of their own, are shown beside it. Ends with 1 when
a node needs more than 1 % of a core.

Run it with the suite on PYTHONPATH: `python bench/bench_idle.py [--seconds S] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.engine.machine import children_of, cpu_seconds
from bench.rows import Bound, Row, conclude
from tests.support.services import services
from tests.support.swim_processes import swim_processes

PROFILES = ("lan", "local")
GROUP = 10
"""Nodes of the library alone."""
TARGET_PERCENT = 1.0
SETTLE_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per profile (default %(default)s)")
    arguments = parser.parse_args()
    rows = [row for profile in PROFILES for row in measure(profile, arguments.seconds, arguments.rounds)]
    conclude("idle", {"seconds": arguments.seconds, "rounds": arguments.rounds}, rows)
    if not all(row.is_met for row in rows):
        sys.exit(1)


def measure(profile: str, seconds: float, rounds: int) -> list[Row]:
    """A row for each node of a small cluster, and for one of ten bare nodes."""
    names = [f"node-{number}" for number in range(GROUP)]
    with (
        tempfile.TemporaryDirectory() as directory,
        services(Path(directory), "--membership-profile", profile) as started,
        swim_processes(names, profile=profile) as bare,
    ):
        gate = started.gate("gate-1")
        manager = started.manager("manager-1", "--gates", gate.address)
        worker = started.worker("worker-1", manager.address)
        pids = {
            "gate": gate.process.pid,
            "manager": manager.process.pid,
            "worker without its engine": worker.process.pid,
            "engine": children_of([worker.process.pid])[0],
            f"the library alone, one of {GROUP}": bare[0].process.pid,
        }
        time.sleep(SETTLE_SECONDS)
        shares = [percent(pids, seconds) for _ in range(rounds)]
    return [
        Row(
            f"idle, {profile}: {name}",
            statistics.median(share[name] for share in shares),
            Bound.AT_MOST,
            TARGET_PERCENT,
            "%",
        )
        for name in pids
    ]


def percent(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """How much of a core each process takes for a while."""
    before, started = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    return {name: 100 * (cpu_seconds(pid) - before[name]) / elapsed for name, pid in pids.items()}


if __name__ == "__main__":
    main()
