"""One command runs a distributed load test and judges it."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_cluster import COMMAND, hyperscale
from tests.support.processes import eventually, process

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose temporary files and processes can be told from everybody else's."""
    yield {"TMPDIR": str(tmp_path), "HYPERSCALE_TEST_MARK": str(tmp_path)}
    assert list(tmp_path.iterdir()) == [], "files were left"
    assert _marked_processes(str(tmp_path)) == [], "processes were left"


def _marked_processes(mark: str) -> list[int]:
    return [pid for pid in _pids() if f"HYPERSCALE_TEST_MARK={mark}".encode() in _environment(pid)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []


@pytest.mark.requirement("MAIN.1")
def test_quickstart_runs_over_two_datacenters_and_passes(temporary: dict[str, str]) -> None:
    outcome = hyperscale("run", str(QUICKSTART), environment=temporary)
    assert outcome.code == 0, outcome
    assert outcome.out.rstrip().endswith("verdict: passed")
    assert "us-east" in outcome.out
    assert "eu-west" in outcome.out
    assert "p(95)" in outcome.out


@pytest.mark.requirement("MAIN.1")
def test_json_form_ends_with_the_result(temporary: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    reports = tmp_path_factory.mktemp("reports")
    shorter = reports / "quickstart.yaml"
    shorter.write_text(QUICKSTART.read_text().replace("duration: 15s", "duration: 3s"))
    outputs = ("--out", f"json={reports / 'result.json'}", "--out", f"csv={reports / 'result.csv'}")
    outcome = hyperscale("run", str(shorter), "--json", "--quiet", *outputs, environment=temporary)
    assert outcome.code == 0, outcome
    result = outcome.last_json
    assert (result["status"], result["verdict"]) == ("completed", "passed")
    assert set(result["datacenters"]) == {"us-east", "eu-west"}
    assert {"avg", "min", "med", "max", "p(90)", "p(95)", "p(99)"} <= result["metrics"]["http_req_duration"].keys()
    assert all(threshold["passed"] for threshold in result["thresholds"])
    assert (reports / "result.json").stat().st_size > 0
    assert (reports / "result.csv").read_text().count("\n") > 1


def test_interrupt_prints_what_was_measured_and_leaves_nothing(temporary: dict[str, str]) -> None:
    options = {"stderr": subprocess.STDOUT, "env": {**os.environ, **temporary}, "start_new_session": True}
    with tempfile.TemporaryFile("w+") as out, process([*COMMAND, "run", str(QUICKSTART)], stdout=out, **options) as run:
        eventually(lambda: b"  requests " in _content(out), what="load")
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=60) == 105
        text = _content(out).decode()
    assert "http_reqs" in text
    assert "cancelled" in text
    assert "verdict: failed" in text


def _content(out: object) -> bytes:
    return Path(f"/proc/self/fd/{out.fileno()}").read_bytes()  # type: ignore[attr-defined]
