"""A manager with a single gate configured reports to those that this one tells of, for as long as they are there."""

from __future__ import annotations

from hyperscale.v1.node_pb2 import Endpoint, NodeInfo
from hyperscale.v1.progress_pb2 import KnownGates
from tests.integration.manager.conftest import Datacenter
from tests.integration.manager.fakes import FakeGate, FakeWorker
from tests.support.shards import workflow
from tests.support.waiting import until


def known(*gates: FakeGate) -> KnownGates:
    """Those gates, among addresses that are none."""
    infos = [NodeInfo(node_id=gate.gate_id, endpoint=Endpoint(host="127.0.0.1", port=gate.port)) for gate in gates]
    faulty = [Endpoint(), Endpoint(host="", port=1), Endpoint(host="127.0.0.1"), Endpoint(host="127.0.0.1", port=70000)]
    return KnownGates(gates=[*(NodeInfo(node_id="nowhere", endpoint=endpoint) for endpoint in faulty), *infos])


async def test_a_gate_that_is_told_of_gets_results_until_nobody_tells_of_it(datacenter: Datacenter) -> None:
    first = datacenter.gate
    async with FakeGate(gate_id="gate-2") as second, datacenter.manager() as manager:
        await datacenter.until_leads(manager)
        second.known_gates = known(first, second)
        first.known_gates = known(first, second)
        await until(lambda: len(second.heartbeats) > 2, "heartbeats at the second gate")
        async with FakeWorker("worker-1", 1, manager.address) as worker:
            await manager.submit("job-1", workflow(), gate_id="gate-2")
            await worker.run("job-1/browse/0", 5)
            await second.final("job-1")
        await second.stop()
        first.known_gates = known(first)
        beats = len(first.heartbeats)
        await until(lambda: len(first.heartbeats) > beats + 4, "some heartbeats")
        before = len(second.heartbeats)
        await second.start()
        beats = len(first.heartbeats)
        await until(lambda: len(first.heartbeats) > beats + 4, "more heartbeats")
        assert len(second.heartbeats) == before
        first.known_gates = known(first, second)
        await until(lambda: len(second.heartbeats) > before, "heartbeats at the gate that is back")
