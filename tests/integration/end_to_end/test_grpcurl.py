"""grpcurl works with no files: reflection tells it everything."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_cluster import LocalCluster
from tests.support.target import BundledTarget
from tests.support.tools import require_tool

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart.json"
GATE = "hyperscale.v1.GateService"


def _grpcurl(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["grpcurl", "-plaintext", *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(autouse=True)
def grpcurl() -> None:
    require_tool("grpcurl")


@pytest.mark.requirement("MAIN.3")
def test_a_job_is_submitted_watched_and_its_result_read(cluster: LocalCluster, target: BundledTarget) -> None:
    gate = cluster.gates[0]
    submission = {**json.loads(EXAMPLE.read_text()), "target": target.url}
    ack = json.loads(_grpcurl("-d", "@", gate, f"{GATE}/SubmitJob", stdin=json.dumps(submission)))
    events = _json_stream(_grpcurl("-d", json.dumps({"job_id": ack["job_id"]}), gate, f"{GATE}/WatchJob"))
    assert any("window" in event for event in events)
    assert events[-1]["result"]["verdict"] == "VERDICT_PASSED"
    job = json.loads(_grpcurl("-d", json.dumps({"job_id": ack["job_id"]}), gate, f"{GATE}/GetJob"))
    assert job["result"] == events[-1]["result"]


@pytest.mark.requirement("MAIN.3")
def test_a_job_is_cancelled(cluster: LocalCluster, target: BundledTarget) -> None:
    gate = cluster.gates[0]
    submission = {**json.loads(EXAMPLE.read_text()), "target": target.url}
    ack = json.loads(_grpcurl("-d", "@", gate, f"{GATE}/SubmitJob", stdin=json.dumps(submission)))
    body = json.dumps({"job_id": ack["job_id"], "reason": "seen enough"})
    assert json.loads(_grpcurl("-d", body, gate, f"{GATE}/CancelJob"))["status"] == "JOB_STATUS_CANCELLING"
    events = _json_stream(_grpcurl("-d", json.dumps({"job_id": ack["job_id"]}), gate, f"{GATE}/WatchJob"))
    assert events[-1]["result"]["status"] == "JOB_STATUS_CANCELLED"


def test_every_node_lists_its_services(cluster: LocalCluster) -> None:
    expected = {
        "gate": {GATE, "hyperscale.v1.GateIngestService"},
        "manager": {"hyperscale.v1.ManagerService", "hyperscale.v1.ManagerIngestService"},
        "worker": {"hyperscale.v1.WorkerService"},
    }
    for role, services in expected.items():
        listed = set(_grpcurl(cluster.node(role)["address"], "list").split())
        assert services | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= listed


def _json_stream(text: str) -> list[dict[str, Any]]:
    decoder = json.JSONDecoder()
    documents = []
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].lstrip()
    return documents
