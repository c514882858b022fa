"""What a gate tells a collector, and its log, of its decisions."""

import json
from pathlib import Path

import grpc
import pytest

from hyperscale.v1 import job_pb2
from tests.integration.gate.fakes import FakeManager, Gates, client_of
from tests.support.otlp_collector import Collector, collecting, series
from tests.support.waiting import until
from tests.unit.gate.harness import submission

ACCEPTED = series("hyperscale.routing_decisions_total", cause="first", health="healthy", ranking="bootstrap")
REFUSED = series("hyperscale.routing_refusals_total")
EXCLUDED = series("hyperscale.routing_exclusions_total", reason="requested")
DURATION = series("hyperscale.routing_decision_seconds")


def routed(count: int, exclude: str) -> job_pb2.JobSubmission:
    job = submission()
    job.datacenters.CopyFrom(job_pb2.DatacenterSelection(count=count, exclude=[exclude]))
    return job


async def exported(collector: Collector) -> None:
    """Wait for an export that began after this call."""
    exports = collector.exports
    await until(lambda: collector.exports >= exports + 2, "an export")


async def test_decisions_are_counted_for_a_collector_and_logged(gates: Gates, tmp_path: Path) -> None:
    async with collecting() as collector:
        gate = await gates.start("g1", "--otlp-endpoint", collector.endpoint, "--otlp-interval-seconds", "0.1")
        east, west = FakeManager("east"), FakeManager("west")
        async with east.serving(gate.address), west.serving(gate.address), client_of(gate) as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.submit(routed(2, exclude="west"))
            await exported(collector)
            before = dict(collector.values)
            job_id = (await client.submit(routed(1, exclude="west"))).job_id
            await exported(collector)
            after = collector.values
        assert collector.resource["service.name"] == "hyperscale-gate"
        assert collector.resource["service.instance.id"] == "g1"
        assert before[REFUSED] > 0
        assert after[REFUSED] == before[REFUSED]
        assert [after[one] - before.get(one, 0) for one in (ACCEPTED, EXCLUDED, DURATION)] == [1, 1, 1]
        assert after[series("hyperscale.routing_score", datacenter="east")] > 0
        assert series("hyperscale.routing_score", datacenter="west") not in after
    lines = [json.loads(line) for line in (tmp_path / "g1.log").read_text().splitlines() if '"job ' in line]
    refused, accepted = lines[0], lines[-1]
    assert refused["event"] == "job not routed"
    assert (accepted["event"], accepted["job_id"], accepted["datacenters"]) == ("job routed", job_id, ["east"])
    assert accepted["excluded"] == {"west": "the job excludes it"}
    assert accepted["scores"].keys() == {"east"}
