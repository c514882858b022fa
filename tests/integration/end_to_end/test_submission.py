"""Submitting: faults are all named, nothing is started, and a key is one job."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hyperscale.client import Client
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.v1.workflow_pb2 import ConstantVus, HttpRequest, Step, Workflow
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import parse_job
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.target import BundledTarget


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two gates before two datacenters."""
    with local_cluster(tmp_path_factory.mktemp("two-gates"), datacenters=2, gates=2) as running:
        yield running


def test_every_fault_is_named_with_its_path_and_nothing_is_started(cluster: LocalCluster, tmp_path: Path) -> None:
    faulty = {
        "colour": "red",
        "target": "ftp://example",
        "timeout": "soon",
        "workflows": [
            workflow("a", depends_on=["b"], constant_vus={"vus": -1, "duration": "1s"}),
            workflow("b", depends_on=["a", "ghost"]),
        ],
    }
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps(faulty))
    jobs_before = cluster.command("jobs", "--json").out
    outcome = cluster.command("submit", str(path))
    assert outcome.code == 104
    for part in ("colour", "timeout", "workflows[0].constant_vus.vus", "ghost"):
        assert part in outcome.err, part
    assert cluster.command("jobs", "--json").out == jobs_before


def test_unknown_datacenter_is_refused_by_name(cluster: LocalCluster, tmp_path: Path) -> None:
    path = write_job(tmp_path, "http://127.0.0.1:1", datacenters={"required": ["atlantis"]})
    outcome = cluster.command("submit", str(path))
    assert outcome.code == 104
    assert "atlantis" in outcome.err


def test_six_mebibytes_are_refused_by_the_client_and_by_the_gate(cluster: LocalCluster, tmp_path: Path) -> None:
    big = "x" * (6 * 1024 * 1024)
    path = write_job(tmp_path, "http://127.0.0.1:1", workflow(steps=[{"name": "a", "http": {"url": "/", "text": big}}]))
    assert cluster.command("submit", str(path)).code == 104
    step = Step(name="a", http=HttpRequest(url="/", text=big))
    load = ConstantVus(vus=1)
    submission = JobSubmission(
        target="http://127.0.0.1:1", workflows=[Workflow(name="w", steps=[step], constant_vus=load)]
    )
    with grpc.insecure_channel(cluster.gates[0]) as channel, pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(
            "/hyperscale.v1.GateService/SubmitJob",
            request_serializer=JobSubmission.SerializeToString,
            response_deserializer=bytes,
        )(submission, timeout=30)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.requirement("AD-40.1")
def test_one_key_is_one_job_at_the_same_instant_through_two_gates_and_after(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    path = write_job(
        tmp_path,
        target.url,
        workflow(constant_vus={"vus": 1, "duration": "1s"}),
        name="only-once",
        idempotency_key="only-once",
    )
    job_file = path.read_text()

    def submit(gate: str) -> str:
        return asyncio.run(_submit(gate, job_file))

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(submit, cluster.gates * 4))
    assert len(answers) == 1
    assert submit(cluster.gates[1]) in answers
    job_id = answers.pop().split()[0]
    listed = json.loads(cluster.command("jobs", "--json").out)
    assert [job["job_id"] for job in listed["jobs"]].count(job_id) == 1
    assert len([job for job in listed["jobs"] if job["name"] == "only-once"]) == 1


async def _submit(gate: str, job_file: str) -> str:
    async with Client([gate]) as client:
        ack = await client.submit(parse_job(job_file, DocumentFormat.JSON))
        return f"{ack.job_id} {ack.gate_id} {ack.submitted_at.ToJsonString()}"


def test_a_job_is_seen_alike_through_every_gate(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    job_id = cluster.submit(write_job(tmp_path, target.url))
    other = cluster.command("watch", job_id, "--gate", cluster.gates[1], "--json")
    assert other.code == 0, other
    assert other.last_json == cluster.result(job_id)
