"""Which tests prove which requirement: writes docs/compliance.md, or with ``--check`` says why it does not hold.

A requirement that is compliant in the file and has lost its tests is never overwritten: give it a test again, or take its
row out of docs/requirements.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tools.requirements import read_requirements

REPORT = Path(__file__).resolve().parent.parent / "docs" / "compliance.md"
COMPLIANT, MISSING = "COMPLIANT", "MISSING"
HEADER = """# Compliance

Written by `make compliance` from the marks of the tests; do not edit. A requirement is compliant when at least one test names it.

| ID | requirement | tests | status |
|---|---|---|---|
"""
_COMPLIANT_ROW = re.compile(rf"^\| (?P<id>\S+) \|.*\| {COMPLIANT} \|$")

Proofs = Mapping[str, Sequence[str]]


class CollectingPlugin:
    """Pytest plugin that notes the requirement marks of every test collected."""

    def __init__(self) -> None:
        self._tests: dict[str, set[str]] = defaultdict(set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("requirement"):
                for requirement in mark.args:
                    self._tests[requirement].add(item.nodeid.partition("[")[0])

    @property
    def proofs(self) -> dict[str, list[str]]:
        return {requirement: sorted(tests) for requirement, tests in self._tests.items()}


def collect_proofs() -> dict[str, list[str]]:
    """Collect all tests, run none; return which name each requirement id."""
    plugin, output = CollectingPlugin(), io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[plugin])
    if code != pytest.ExitCode.OK:
        sys.exit(f"{output.getvalue()}\nThe tests cannot be collected.")
    return plugin.proofs


def render(requirements: Mapping[str, str], proofs: Proofs) -> str:
    """Return the report: one row for each requirement, in the order of their table."""
    rows = (
        f"| {name} | {text} | {'<br>'.join(proofs.get(name, ()))} | {COMPLIANT if proofs.get(name) else MISSING} |"
        for name, text in requirements.items()
    )
    return HEADER + "\n".join(rows) + "\n"


def find_faults(requirements: Mapping[str, str], proofs: Proofs, report: str) -> list[str]:
    """Return why marks and report contradict each other; a report that is merely older than the tests is no fault."""
    rows = (_COMPLIANT_ROW.match(line) for line in report.splitlines())
    compliant = [row["id"] for row in rows if row]
    lost = [name for name in compliant if name in requirements and not proofs.get(name)]
    unknown = [name for name in proofs if name not in requirements]
    return [
        *(f"{name} was compliant and has lost its tests" for name in lost),
        *(f"{name} is no requirement, but is named by {', '.join(proofs[name])}" for name in unknown),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the report does not hold")
    check = parser.parse_args().check
    requirements, proofs = read_requirements(), collect_proofs()
    report = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    current = render(requirements, proofs)
    faults = find_faults(requirements, proofs, report)
    if check and current != report:
        faults.append(f"docs/{REPORT.name} is stale: run make compliance")
    if faults:
        sys.exit("\n".join(faults))
    if not check:
        REPORT.write_text(current, encoding="utf-8")
        print(current.removeprefix(HEADER), end="")
    print(f"{sum(name in proofs for name in requirements)} of {len(requirements)} requirements are compliant")


if __name__ == "__main__":
    main()
