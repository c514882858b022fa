"""Bad input ends with the documented exit code, names every fault with its path, and starts nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import hyperscale.client
from hyperscale.client.cli import hyperscale as hyperscale_command
from hyperscale.client.cli import run_command_line
from hyperscale.client.cli.options import NodeCounts
from hyperscale.client.cli.run import plan_layout
from hyperscale.client.cluster import local
from hyperscale.client.cluster.launching import LaunchPlan
from hyperscale.client.exit_codes import ExitCode
from hyperscale.v1.job_pb2 import DatacenterSelection, JobSubmission
from tests.support.jobs import workflow, write_job

TARGET = "http://127.0.0.1:9"
BAD_JOBS: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown field": (TARGET, {"colour": "red"}, "colour"),
    "missing target": ("", {}, "target"),
    "unknown datacenter in weights": (TARGET, {"datacenters": {"required": ["a"], "weights": {"b": 2}}}, "weights"),
}
BAD_WORKFLOWS = {
    "bad duration": ([workflow(constant_vus={"vus": 1, "duration": "soon"})], "workflows[0].constant_vus.duration"),
    "negative number": ([workflow(constant_vus={"vus": -1, "duration": "1s"})], "workflows[0].constant_vus.vus"),
    "dangling": ([workflow(depends_on=["ghost"])], "workflows[0].depends_on[0]"),
    "cycle": ([workflow("a", depends_on=["b"]), workflow("b", depends_on=["a"])], "workflows[0].depends_on"),
}


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that is started all the same is a failure."""

    def refuse(plan: LaunchPlan, root: Path) -> None:
        raise AssertionError(f"{plan.node_id} was started")

    monkeypatch.setattr(local, "launch", refuse)
    monkeypatch.setenv("HYPERSCALE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HYPERSCALE_GATE", raising=False)


@pytest.mark.parametrize("command", ["run", "validate", "submit"])
@pytest.mark.parametrize("fault", BAD_JOBS)
def test_bad_job(fault: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, fields, path = BAD_JOBS[fault]
    job = write_job(tmp_path, target, **fields)
    assert run_command_line([command, str(job)]) == ExitCode.BAD_CONFIGURATION
    assert path in capsys.readouterr().err


@pytest.mark.parametrize("fault", BAD_WORKFLOWS)
def test_bad_workflow(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workflows, path = BAD_WORKFLOWS[fault]
    assert run_command_line(["run", str(write_job(tmp_path, TARGET, *workflows))]) == ExitCode.BAD_CONFIGURATION
    assert f"{path}: " in capsys.readouterr().err


def test_every_fault_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path, "", workflow(depends_on=["ghost"], colour="red"), timeout="soon")
    assert run_command_line(["run", str(job), "--out", "nowhere=x"]) == ExitCode.BAD_CONFIGURATION
    told = capsys.readouterr().err
    assert all(path in told for path in ("target", "workflows[0].depends_on[0]", "colour", "timeout", "--out"))


def test_large_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"name": "x" * (6 * 1024 * 1024)}))
    assert run_command_line(["run", str(job)]) == ExitCode.BAD_CONFIGURATION
    assert "the limit is" in capsys.readouterr().err


def test_bundled_target_is_for_run_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path, "bundled://")
    assert run_command_line(["--gate", "127.0.0.1:1", "submit", str(job)]) == ExitCode.BAD_CONFIGURATION
    told = capsys.readouterr().err
    assert "hyperscale target --port" in told
    assert "--target" in told
    assert run_command_line(["validate", str(job)]) == ExitCode.PASSED


def test_cluster_without_the_datacenters_a_job_requires() -> None:
    job = JobSubmission(datacenters=DatacenterSelection(required=["us-east", "eu-west", "ap-south"]))
    with pytest.raises(Exception, match=re.escape("datacenters.required[2]: there is no datacenter 'ap-south'")):
        plan_layout("job.yaml", job, NodeCounts(datacenters=2))


def test_datacenters_beyond_the_required_ones_are_numbered() -> None:
    job = JobSubmission(datacenters=DatacenterSelection(required=["dc-2"]))
    assert plan_layout("job.yaml", job, NodeCounts(datacenters=3)).datacenters == ("dc-2", "dc-1", "dc-3")
    assert plan_layout("job.yaml", JobSubmission(), NodeCounts()).datacenters == ("dc-1",)


def test_a_cluster_for_a_job_that_leaves_the_choice_has_what_it_mentions_and_enough_besides() -> None:
    choice = DatacenterSelection(count=2, preferred=["near"], exclude=["old"])
    assert plan_layout("job.yaml", JobSubmission(datacenters=choice), NodeCounts()).datacenters == (
        "near",
        "old",
        "dc-1",
    )
    with pytest.raises(Exception, match=re.escape("datacenters.exclude[0]: there is no datacenter 'old'")):
        plan_layout("job.yaml", JobSubmission(datacenters=choice), NodeCounts(datacenters=1))
    with pytest.raises(Exception, match=r"datacenters\.count: the job asks for 2, the cluster has 1 that it may use"):
        plan_layout("job.yaml", JobSubmission(datacenters=choice), NodeCounts(datacenters=2))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:41001", "https://gate:443", "gate", "gate:0", "gate:65536", "a b:1"]
)
def test_what_is_no_address_is_refused_with_the_form_that_is_wanted(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["--gate", address, "jobs"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert f"'--gate': {address!r} is not HOST:PORT, such as 127.0.0.1:41001" in told
    assert ("without a scheme" in told) is ("://" in address)


def test_a_faulty_environment_variable_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERSCALE_GATE", "nonsense")
    assert run_command_line(["jobs"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "the environment variable HYPERSCALE_GATE: 'nonsense' is not HOST:PORT" in told
    assert "--gate" not in told


def test_job_files_have_known_endings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", str(tmp_path / "job.toml")]) == ExitCode.BAD_CONFIGURATION
    assert "a job file ends in .yaml, .yml, .json, a job in Python in .py" in capsys.readouterr().err


def test_no_gate_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["jobs"]) == ExitCode.UNREACHABLE
    assert "hyperscale cluster up" in capsys.readouterr().err


def test_no_gate_reachable_names_the_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--gate", "127.0.0.1:1,127.0.0.1:2", "jobs"]) == ExitCode.UNREACHABLE
    assert "127.0.0.1:1, 127.0.0.1:2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--gate", "nowhere", "jobs"], ["explode"], ["run"], ["run", "x", "--cores", "-1"]]
)
def test_wrong_command_line(arguments: list[str]) -> None:
    assert run_command_line(arguments) == ExitCode.USAGE


def test_documentation_lists_every_exit_code_and_command() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "cli.md").read_text()
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert rows == {code.value for code in ExitCode}
    commands = hyperscale_command.list_commands(click.Context(hyperscale_command))
    assert all(f"`{name}" in text for name in commands)


def test_public_surface() -> None:
    assert hyperscale.client.__all__ == [
        "CallRefusedError",
        "Client",
        "ClientError",
        "ClientSettings",
        "GateUnreachableError",
        "JobNotFinishedError",
        "NodePing",
        "NotAGateError",
        "Refusal",
        "Reporter",
        "SubmissionTooLargeError",
        "SyncClient",
    ]
    assert all(getattr(hyperscale.client, name) is not None for name in hyperscale.client.__all__)
    assert not hasattr(hyperscale.client, "nothing")


def test_commands_without_a_connection_do_not_load_grpc() -> None:
    code = "import sys, hyperscale.client.cli as c; c.run_command_line(['version']); print('grpc' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"
