"""What fails while cores are short is run again, and is told."""

import os
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


def test_frozen_once():
    with ATTEMPTS.open("a") as attempts:
        print("attempt", file=attempts)
    if len(ATTEMPTS.read_text().split()) == 1:
        subprocess.run(["sh", "-c", FREEZE], check=True)
        raise AssertionError("too late")
"""


def test_what_fails_while_the_machine_stands_still_is_run_again(tmp_path: Path) -> None:
    (tmp_path / "test_attempts.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", str(PROJECT), "-p", "tests.conftest", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert len((tmp_path / "attempts").read_text().split()) == 2
    assert "1 passed, 1 rerun" in done.stdout.splitlines()[-1]
    assert "AssertionError: too late" in done.stdout, "what was excused must be told"


def nobody_waits() -> tuple[float, float, float]:
    return (0.5, 9.0, 9.0)


def test_a_host_that_takes_much_of_the_time_leaves_cores_short() -> None:
    stolen = iter([7.0, 7.0, 8.0, 8.0, 8.0])
    metronome = Metronome(lambda: next(stolen), nobody_waits)
    assert not metronome.was_short_of_cores()
    assert metronome.was_short_of_cores()
    metronome.forget()
    assert not metronome.was_short_of_cores()


def test_more_work_than_cores_leaves_them_short() -> None:
    assert Metronome(lambda: 0.0, lambda: (999.0, 0.0, 0.0)).was_short_of_cores()
    assert not Metronome(lambda: 0.0, nobody_waits).was_short_of_cores()


def test_what_the_host_has_taken_is_read_from_the_kernel(tmp_path: Path) -> None:
    statistics = tmp_path / "stat"
    ticks = 3 * os.sysconf("SC_CLK_TCK")
    statistics.write_text(f"cpu  1 2 4 8 16 32 64 {ticks} 128 256\ncpu0 1 2 4 8 16 32 64 {ticks} 128 256\n")
    assert stolen_seconds(statistics) == 3
    assert stolen_seconds() >= 0
