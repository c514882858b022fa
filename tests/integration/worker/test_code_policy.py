"""Whether a worker runs the code of users is for its configuration to say."""

from pathlib import Path

import grpc.aio
import pytest

from hyperscale.runtime.errors import ErrorReason
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.v1 import workflow_pb2
from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.progress_pb2 import SHARD_STATUS_COMPLETED
from hyperscale.workload.bundles import pack_bundle
from tests.integration.worker.conftest import running_worker
from tests.support.fake_manager import FakeManager, http_dispatch
from tests.support.target import BundledTarget

SOURCE = """
from hyperscale.workload import Workflow, step

class Flow(Workflow):
    @step()
    async def only(self):
        await self.http.get("/")
        self.provide("x", 1)
"""


def coded_dispatch(target: BundledTarget, directory: Path) -> WorkflowDispatch:
    source = directory / "job.py"
    source.write_text(SOURCE)
    dispatch = http_dispatch(target.url, cores=1, vus=2, seconds=1)
    dispatch.workflow.class_name = "Flow"
    del dispatch.workflow.steps[:]
    dispatch.workflow.steps.append(workflow_pb2.Step(name="only"))
    dispatch.bundle.CopyFrom(pack_bundle(source))
    return dispatch


async def test_code_is_refused_unless_it_is_allowed(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    async with running_worker(manager, tmp_path, "--cores", "1"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await manager.worker.DispatchWorkflow(coded_dispatch(target, tmp_path))
    error = error_from_rpc(refused.value)
    assert error.reason is ErrorReason.PYTHON_NOT_ALLOWED
    assert "worker-1" in error.message
    assert "allow_python" in error.message


async def test_allowed_code_runs_and_what_it_provides_comes_with_the_last_report(
    manager: FakeManager, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    async with running_worker(manager, tmp_path, "--cores", "1", "--allow-python"):
        dispatch = coded_dispatch(target, tmp_path)
        await manager.worker.DispatchWorkflow(dispatch)
        final = await manager.ended(dispatch.shard_id)
    assert (final.status, list(final.errors)) == (SHARD_STATUS_COMPLETED, [])
    assert final.totals.steps[0].total_count == target.requests() - before > 0
    assert [(value.name, value.json, value.shard_id) for value in final.provided] == [("x", "1", dispatch.shard_id)]
