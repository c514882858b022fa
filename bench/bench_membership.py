"""Membership beside its targets: every row of the table in docs/benchmarks.md, in simulations on a virtual clock.

Run it with `make bench-membership`, or with the suite on PYTHONPATH:
`python bench/bench_membership.py [--seeds N] [--nodes-max N] [--only ROW …]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.membership import coordinates, cost, detection, false_positives, healing
from bench.membership.settings import MembershipSettings
from bench.rows import Row, add_only, conclude, measure_each

MEASUREMENTS: dict[str, Callable[[MembershipSettings], list[Row]]] = {
    "coordinates": coordinates.measure,
    "detection": detection.measure,
    "healing": healing.measure,
    "codec": cost.measure_codec,
    "idle": cost.measure_idle,
    "speed": cost.measure_speed,
    "load": detection.measure_load,
    "false_positives": false_positives.measure,
}


def main() -> None:
    arguments = parse_arguments()
    settings = MembershipSettings(arguments.seeds, arguments.nodes_max)
    rows = measure_each(arguments.only, MEASUREMENTS, settings)
    conclude("membership", {"seeds": settings.seeds, "nodes_max": settings.nodes_max}, rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="simulations of each kind (default %(default)s)")
    parser.add_argument("--nodes-max", type=int, default=2048, help="largest group (default %(default)s)")
    add_only(parser, MEASUREMENTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
