from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.source import ROOT
from tools.compliance import find_faults, render
from tools.requirements import read_requirements

REQUIREMENTS = {"AD-1.1": "first", "AD-2.1": "second"}
PROOFS = {"AD-1.1": ["tests/a.py::test_a", "tests/b.py::test_b"]}

pytestmark = pytest.mark.requirement("ARCH.5")


def test_the_report_has_a_row_for_each_requirement() -> None:
    rows = render(REQUIREMENTS, PROOFS).splitlines()[-2:]
    assert rows == [
        "| AD-1.1 | first | tests/a.py::test_a<br>tests/b.py::test_b | COMPLIANT |",
        "| AD-2.1 | second |  | MISSING |",
    ]


def test_a_requirement_that_loses_its_tests_is_a_fault() -> None:
    report = render(REQUIREMENTS, PROOFS)
    assert not find_faults(REQUIREMENTS, PROOFS, report)
    assert find_faults(REQUIREMENTS, {}, report) == ["AD-1.1 was compliant and has lost its tests"]


def test_a_new_proof_is_no_fault() -> None:
    assert not find_faults(REQUIREMENTS, PROOFS, render(REQUIREMENTS, {}))


def test_a_mark_that_names_no_requirement_is_a_fault() -> None:
    assert find_faults(REQUIREMENTS, {"AD-9.9": ["tests/a.py::test_a"]}, "") == [
        "AD-9.9 is no requirement, but is named by tests/a.py::test_a"
    ]


def test_the_table_of_requirements_is_read_whole() -> None:
    rows = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8").count("\n| ") - 1
    assert len(read_requirements()) == rows


@pytest.mark.soak  # a step of `make check`
def test_the_committed_report_holds() -> None:
    command = [sys.executable, "-m", "tools.compliance", "--check"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
