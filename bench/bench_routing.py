"""Where jobs go: the router beside random choice, an oracle that knows every true round trip, and its other targets.

Simulated on a virtual clock: gates in each of eleven regions of a large cloud, datacenters in all the others; bench/routing/sites.py
says what is assumed of them. Measured on this machine: the processor time of a decision. Run it with `make bench-routing`, or with
the suite on PYTHONPATH: `python bench/bench_routing.py [--seed N] [--only ROW …]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.routing import latency, load, outage, ownership, speed
from bench.routing.settings import RoutingSettings
from bench.rows import Row, add_only, conclude, measure_each

MEASUREMENTS: dict[str, Callable[[RoutingSettings], list[Row]]] = {
    "latency": latency.measure,
    "balance": load.measure_balance,
    "steadiness": load.measure_steadiness,
    "outage": outage.measure,
    "speed": speed.measure,
    "ownership": ownership.measure,
}


def main() -> None:
    arguments = parse_arguments()
    settings = RoutingSettings(arguments.seed)
    rows = measure_each(arguments.only, MEASUREMENTS, settings)
    conclude("routing", {"seed": settings.seed}, rows)
    if not all(row.is_met for row in rows):
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default %(default)s)")
    add_only(parser, MEASUREMENTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
