"""A row of the target table: what was measured, beside what it should be."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

SettingsT = TypeVar("SettingsT")

RESULTS = Path(__file__).resolve().parent / "results"


class Bound(StrEnum):
    """On which side of the target the measured value has to be."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value."""

    name: str
    measured: float
    bound: Bound
    target: float
    unit: str = ""
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.measured >= self.target if self.bound is Bound.AT_LEAST else self.measured <= self.target

    def line(self) -> str:
        """The row as it is printed."""
        verdict = "met   " if self.is_met else "MISSED"
        measured, target = (
            f"{self.measured:.3g} {self.unit}".strip(),
            f"{self.bound} {self.target:g} {self.unit}".strip(),
        )
        return f"{verdict} {self.name:<58} {measured:>12}   {target:<12} {self.note}".rstrip()


def add_only(parser: argparse.ArgumentParser, measurements: Mapping[str, object]) -> None:
    """Let the caller choose some of the measurements."""
    parser.add_argument("--only", nargs="+", choices=measurements, default=list(measurements), help="rows to measure")


def measure_each(
    names: Sequence[str], measurements: Mapping[str, Callable[[SettingsT], list[Row]]], settings: SettingsT
) -> list[Row]:
    """Make the named measurements one after the other, and print each row as soon as it is there."""
    rows: list[Row] = []
    for name in names:
        print(f"== {name}", flush=True)
        measured = measurements[name](settings)
        for row in measured:
            print(row.line(), flush=True)
        rows += measured
    return rows


def conclude(benchmark: str, extent: Mapping[str, object], rows: Sequence[Row]) -> None:
    """Print every row again and how many are met, and keep them with how much was measured."""
    print()
    for row in rows:
        print(row.line())
    print(f"{sum(row.is_met for row in rows)} of {len(rows)} met")
    append(benchmark, {**extent, "rows": [{**asdict(row), "met": row.is_met} for row in rows]})


def append(benchmark: str, document: Mapping[str, object]) -> None:
    """Add what was measured to the results of earlier runs."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    entry = {"benchmark": benchmark, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **document}
    with (RESULTS / f"{benchmark}.jsonl").open("a") as results:
        results.write(json.dumps(entry) + "\n")
