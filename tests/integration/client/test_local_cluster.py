"""``hyperscale run`` and ``hyperscale cluster`` with the real services, as a user at a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperscale.client.cluster.state import StateDirectory
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import COMMAND, Outcome
from tests.support.processes import eventually, hangups_heard, is_alive, process

BUNDLED = "bundled://"
LONG = {"vus": 1, "duration": "60s"}
INTERRUPTED_AT_THE_LAST_WAVE = """
import signal, sys
from hyperscale.client.cli import run_command_line
from hyperscale.client.cluster.state import StateDirectory
from hyperscale.client.models.cluster import LocalRole

write = StateDirectory.write


def interrupted(files, state):
    write(files, state)
    if any(node.process.role is LocalRole.WORKER for node in state.nodes):
        signal.raise_signal(signal.SIGINT)


StateDirectory.write = interrupted
sys.exit(run_command_line(sys.argv[1:]))
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A directory for temporary files that has to be empty again in the end, with nobody working in it."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    yield {"TMPDIR": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    assert list(directory.iterdir()) == []
    assert processes_naming(str(directory)) == []


def command(environment: Mapping[str, str], *arguments: str) -> Outcome:
    """Run one command to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def processes_naming(text: str) -> list[str]:
    """Command lines that contain a text."""
    lines = (_command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [line for line in lines if text in line]


def _command_line(process: Path) -> str:
    try:
        return process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_passing_job_exits_0_and_reports(tmp_path: Path, temporary: dict[str, str]) -> None:
    fields = {"thresholds": [{"metric": "http_req_failed", "expression": "rate < 1%"}]}
    job = write_job(tmp_path, BUNDLED, workflow(shared_iterations={"vus": 2, "iterations": 50}), **fields)
    outs = ("--out", f"json={tmp_path / 'r.json'}", "--out", f"csv={tmp_path / 'r.csv'}")
    outcome = command(temporary, "run", str(job), "--json", *outs)
    assert outcome.code == 0, outcome
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert events[0]["event"] == "submitted"
    result = events[-1]
    assert (result["status"], result["verdict"]) == ("completed", "passed")
    assert result["metrics"]["iterations"]["count"] == 50
    assert isinstance(result["metrics"]["http_reqs"]["count"], int)
    assert set(result["datacenters"]) == {"dc-1"}
    assert result["thresholds"][0]["passed"] is True
    assert result["errors"] == {}
    assert "reasons" not in result
    assert json.loads((tmp_path / "r.json").read_text()) == result
    assert ",dc-1,http_reqs,count,50" in (tmp_path / "r.csv").read_text()


def test_failed_threshold_exits_99_and_a_broken_reporter_changes_nothing(
    tmp_path: Path, temporary: dict[str, str]
) -> None:
    fields = {"thresholds": [{"metric": "http_reqs", "expression": "count > 1000000"}]}
    job = write_job(tmp_path, BUNDLED, workflow(shared_iterations={"vus": 1, "iterations": 5}), **fields)
    outcome = command(temporary, "run", str(job), "--out", f"json={tmp_path / 'missing' / 'r.json'}")
    assert outcome.code == 99, outcome
    assert "✗ http_reqs: count > 1000000" in outcome.out
    assert outcome.out.rstrip().endswith("verdict: failed")
    assert "--out json=" in outcome.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_first_interruption_cancels_and_shows_what_was_measured(
    tmp_path: Path, temporary: dict[str, str], number: signal.Signals
) -> None:
    job = write_job(tmp_path, BUNDLED, workflow(graceful_stop="0s", constant_vus=LONG))
    with run_under_load(job, tmp_path, temporary) as (run, out):
        run.send_signal(number)
        assert run.wait(timeout=60) == 105
    assert "verdict: failed" in out.read_text()
    assert "cancelled" in out.read_text()


def test_second_interruption_leaves_at_once(tmp_path: Path, temporary: dict[str, str]) -> None:
    job = write_job(tmp_path, BUNDLED, workflow(graceful_stop="60s", constant_vus=LONG))
    with run_under_load(job, tmp_path, temporary) as (run, _):
        run.send_signal(signal.SIGINT)
        run.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert run.wait(timeout=60) == 105
        assert time.monotonic() - started < 30


def test_interruption_while_the_cluster_starts_leaves_nothing(tmp_path: Path, temporary: dict[str, str]) -> None:
    with run_of(write_job(tmp_path, BUNDLED), tmp_path, temporary) as (run, _):
        eventually(lambda: processes_naming(f"{temporary['TMPDIR']}/"), what="the first node")
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 105


def test_interruption_when_everything_has_started_leaves_nothing_either(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    up = [sys.executable, "-c", INTERRUPTED_AT_THE_LAST_WAVE, "cluster", "up", "--state-dir", str(directory)]
    assert subprocess.run(up, timeout=120, check=False).returncode == 105
    assert processes_naming(str(directory)) == []
    assert not StateDirectory(directory).read().processes


def test_nodes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    job = write_job(tmp_path, BUNDLED, workflow(constant_vus=LONG))
    with run_under_load(job, tmp_path, environment) as (run, _):
        run.kill()
    eventually(lambda: not processes_naming(f"{tmp_path}/hyperscale-run-"), what="the end of all")


@contextmanager
def run_of(
    job: Path, directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A `hyperscale run` for the length of the block, and the file with what it prints."""
    out = directory / "out.txt"
    with out.open("wb") as file, hangups_heard():
        running = process([*COMMAND, "run", str(job)], stdout=file, stderr=file, env={**os.environ, **environment})
        with running as run:
            yield run, out


@contextmanager
def run_under_load(
    job: Path, directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The same, from its first requests on."""
    with run_of(job, directory, environment) as (run, out):
        eventually(lambda: "  requests " in out.read_text(), what="load")
        yield run, out


def test_terminal_gets_the_live_view(tmp_path: Path, temporary: dict[str, str]) -> None:
    job = write_job(tmp_path, BUNDLED)
    leader, follower = pty.openpty()
    environment = {**os.environ, **temporary, "TERM": "xterm", "COLUMNS": "160", "NO_COLOR": "1"}
    with process([*COMMAND, "run", str(job)], stdout=follower, stderr=follower, env=environment) as run:
        os.close(follower)
        text = _read_all(leader).decode()
        assert run.wait(timeout=60) == 0, text
    assert "\x1b[" in text, "the screen is drawn in place"
    assert "\x1b[32m" not in text, "NO_COLOR is respected"
    assert "left" in text
    assert "verdict: passed" in text


def _read_all(terminal: int) -> bytes:
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:
        # How Linux says that nobody writes to the terminal any more.
        pass
    finally:
        os.close(terminal)
    return b"".join(parts)


def test_cluster_up_status_down(tmp_path: Path, temporary: dict[str, str]) -> None:
    job = write_job(tmp_path, "http://127.0.0.1:9", workflow(shared_iterations={"vus": 1, "iterations": 3}))
    up = command(temporary, "cluster", "up", "--datacenters", "2", "--gates", "2", "--cores", "1", "--json")
    try:
        assert up.code == 0, up
        document = up.last_json
        expected = {"role", "datacenter", "node_id", "address", "pid"}
        assert all(expected <= node.keys() for node in document["nodes"])
        assert [node["role"] for node in document["nodes"]] == ["gate"] * 2 + ["manager"] * 2 + ["worker"] * 2
        assert {node["datacenter"] for node in document["nodes"][2:]} == {"dc-1", "dc-2"}
        assert document["gates"] == [node["address"] for node in document["nodes"][:2]]

        again = command(temporary, "cluster", "up")
        assert (again.code, "runs already" in again.err) == (1, True)
        assert command(temporary, "cluster", "status").code == 0

        listed = command(temporary, "datacenters", "--json")
        assert [part["datacenter"] for part in listed.last_json["datacenters"]] == ["dc-1", "dc-2"]
        ended = command(temporary, "submit", str(job), "--watch", "--json")
        assert ended.code == 0, ended
        assert ended.last_json["errors"] == {"connect": 6}

        victim = document["nodes"][-1]["pid"]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not is_alive(victim), what="the end of the worker")
        status = command(temporary, "cluster", "status", "--json")
        assert status.code == 1
        assert [node["alive"] for node in status.last_json["nodes"]] == [True] * 5 + [False]
    finally:
        down = command(temporary, "cluster", "down")
    assert down.code == 0, down
    assert not any(is_alive(node["pid"]) for node in up.last_json["nodes"])
    assert command(temporary, "cluster", "down").code == 1


def test_node_that_does_not_start_shows_its_log_and_takes_the_rest_down(temporary: dict[str, str]) -> None:
    broken = {**temporary, "HYPERSCALE_WORKER_NO_SUCH_FIELD": "1"}
    outcome = command(broken, "cluster", "up")
    assert outcome.code == 104, outcome
    assert "HYPERSCALE_WORKER_NO_SUCH_FIELD" in outcome.err
    assert command(temporary, "cluster", "status").code == 1
