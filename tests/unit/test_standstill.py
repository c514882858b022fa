"""What fails while the machine stands still is run again, and nothing else is."""

import subprocess
import sys
from pathlib import Path

from tests.support.standstill import Metronome, stolen_seconds

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
TESTS = """
import subprocess
from pathlib import Path

ATTEMPTS = Path(__file__).with_name("attempts")
FREEZE = "kill -STOP $PPID; sleep 0.6; kill -CONT $PPID"


def attempt(name):
    with ATTEMPTS.open("a") as attempts:
        print(name, file=attempts)


def test_frozen_once():
    attempt("frozen")
    if ATTEMPTS.read_text().split().count("frozen") == 1:
        subprocess.run(["sh", "-c", FREEZE], check=True)
        raise AssertionError("too late")


def test_wrong():
    attempt("wrong")
    raise AssertionError("not excused by what happened to the test before")
"""


def test_only_a_standstill_excuses_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_attempts.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", str(PROJECT), "-p", "tests.conftest", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (tmp_path / "attempts").read_text().split() == ["frozen", "frozen", "wrong"]
    assert "1 failed, 1 passed, 1 rerun" in done.stdout.splitlines()[-1]
    assert "AssertionError: too late" in done.stdout, "what was excused must be told"


def test_a_host_that_takes_much_of_the_time_counts_as_well() -> None:
    stolen = iter([7.0, 7.0, 8.0, 8.0, 8.0])
    metronome = Metronome(lambda: next(stolen))
    assert not metronome.stood_still()
    assert metronome.stood_still()
    metronome.forget()
    assert not metronome.stood_still()


def test_what_the_host_has_taken_never_gets_less() -> None:
    before = stolen_seconds()
    assert 0 <= before <= stolen_seconds()
