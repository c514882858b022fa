"""The engine beside its targets: every row of the table in docs/benchmarks.md, with wrk and Locust in the same rounds.

The target has core 0, the generator core 1. Run it with `make bench-engine`, or with the suite on PYTHONPATH:
`python bench/bench_engine.py [--rounds N] [--seconds S] [--only ROW …]`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.engine import comparison, distribution, memory, open_model, responsiveness, scaling
from bench.engine.locust_peer import install_locust
from bench.engine.settings import Settings
from bench.rows import Row, add_only, conclude, measure_each

MEASUREMENTS: dict[str, Callable[[Settings], list[Row]]] = {
    "http": comparison.measure,
    "memory": memory.measure,
    "distribution": distribution.measure,
    "open_model": open_model.measure,
    "scaling": scaling.measure,
    "responsiveness": responsiveness.measure,
}


def main() -> None:
    arguments = parse_arguments()
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        print(f"BENCHMARK SKIPPED: {', '.join(missing)} not installed (apt-get install nginx-light wrk util-linux)")
        return
    if (os.cpu_count() or 1) < 2:
        print("BENCHMARK SKIPPED: target and generator need a core each")
        return
    settings = Settings(arguments.rounds, arguments.seconds, install_locust())
    rows = measure_each(arguments.only, MEASUREMENTS, settings)
    conclude("engine", {"rounds": settings.rounds, "seconds": settings.seconds}, rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="of each comparison (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run (default %(default)s)")
    add_only(parser, MEASUREMENTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
