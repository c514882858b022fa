"""Setups and teardowns in a real engine: what they provide, and what fails them."""

import json
import textwrap
from pathlib import Path

import pytest

from hyperscale.v1 import engine_pb2, progress_pb2, script_pb2, workflow_pb2
from hyperscale.v1.job_pb2 import ContextValue
from hyperscale.workload.bundles import pack_bundle
from tests.integration.engine.engine_process import Outcome, http_step, running_engine, shared_iterations
from tests.support.recording_target import Reaction, RecordingTarget, SeenRequest, recording_target

COMPLETED, FAILED = progress_pb2.SHARD_STATUS_COMPLETED, progress_pb2.SHARD_STATUS_FAILED
SETUP = workflow_pb2.WORKFLOW_ROLE_SETUP


def react(request: SeenRequest) -> Reaction:
    return Reaction({"id": 7, "name": "x"}, status=503 if request.path == "/busy" else 200)


def declared(*steps: workflow_pb2.Step, role: workflow_pb2.WorkflowRole.ValueType = SETUP) -> workflow_pb2.Workflow:
    workflow = shared_iterations(*steps, vus=1, iterations=1)
    workflow.name, workflow.role = "shop.setup", role
    return workflow


def extracting(name: str, url: str, variable: str) -> workflow_pb2.Step:
    """A step that extracts a variable, if any, from the field of the same name."""
    step = http_step(name, url)
    if variable:
        step.extract.append(script_pb2.Extraction(variable=variable, json_path=f"$.{variable}"))
    return step


async def run(start: engine_pb2.EngineStart, target: RecordingTarget) -> Outcome:
    start.run_id, start.target = 1, target.url
    async with running_engine() as engine:
        engine.send(engine_pb2.EngineCommand(start=start))
        return await engine.outcome()


def provided(outcome: Outcome) -> dict[str, object]:
    return {value.name: json.loads(value.json) for value in outcome.last.provided}


async def test_what_a_setup_extracts_is_provided_and_what_load_is_given_its_templates_name() -> None:
    with recording_target(react) as target:
        setup = declared(extracting("create", "/create", "id"), extracting("name", "/{{id}}", "name"))
        outcome = await run(engine_pb2.EngineStart(workflow=setup), target)
        load = shared_iterations(http_step("look", "/look/{{id}}/{{list}}"), vus=2, iterations=4)
        given = [ContextValue(name="id", json='"a b"'), ContextValue(name="list", json="[1]")]
        loaded = await run(engine_pb2.EngineStart(workflow=load, context=given), target)
        paths = [request.path for request in target.seen]
    assert (outcome.last.status, provided(outcome)) == (COMPLETED, {"id": "7", "name": "x"})
    assert paths == ["/create", "/7", *["/look/a%20b/%5B1%5D"] * 4]
    assert (loaded.last.status, provided(loaded)) == (COMPLETED, {})


@pytest.mark.parametrize(
    ("url", "path", "reason"),
    [
        ("/busy", "", "shop.setup: step 'second' failed (status)"),
        ("/", "nothing", "shop.setup: step 'second' failed (check)"),
        ("http://127.0.0.1:1/", "", "shop.setup: step 'second' failed (connect)"),
    ],
)
async def test_a_failed_step_fails_a_setup_which_provides_what_it_has(url: str, path: str, reason: str) -> None:
    with recording_target(react) as target:
        setup = declared(extracting("first", "/", "id"), extracting("second", url, path))
        outcome = await run(engine_pb2.EngineStart(workflow=setup), target)
    assert (outcome.last.status, outcome.last.error) == (FAILED, reason)
    assert provided(outcome) == {"id": "7"}


CODE = """
import asyncio
from hyperscale.workload import *

class Shop(Workflow):
    async def setup(self) -> None:
        missing = await self.http.get("/busy")
        self.provide("status", missing.status)
        {statement}

    async def teardown(self) -> None:
        assert self.use("status") == 503 and self.use("none", "nothing") == "nothing"

    @step()
    async def look(self) -> None: ...
"""


def coded(directory: Path, name: str, statement: str = "") -> engine_pb2.EngineStart:
    source = directory / "job.py"
    source.write_text(textwrap.dedent(CODE.format(statement=statement)))
    workflow = declared(workflow_pb2.Step(name=name))
    workflow.class_name = "Shop"
    return engine_pb2.EngineStart(workflow=workflow, bundle=pack_bundle(source))


async def test_code_is_set_up_and_torn_down_and_decides_what_matters(tmp_path: Path) -> None:
    with recording_target(react) as target:
        outcome = await run(coded(tmp_path, "setup"), target)
        start = coded(tmp_path, "teardown")
        start.context.extend(outcome.last.provided)
        torn_down = await run(start, target)
    assert (outcome.last.status, outcome.last.error, provided(outcome)) == (COMPLETED, "", {"status": 503})
    assert (torn_down.last.status, torn_down.last.error) == (COMPLETED, "")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("1 / 0", "job.py:9: ZeroDivisionError: division by zero"),
        ("await self.http.get('http://127.0.0.1:1/')", "job.py:9: RequestError: "),
        ("await asyncio.sleep(60)", "did not end within 0.5 s"),
    ],
)
async def test_an_exception_or_no_end_fails_a_setup_in_code(tmp_path: Path, statement: str, reason: str) -> None:
    start = coded(tmp_path, "setup", statement)
    start.workflow.shared_iterations.max_duration.FromMilliseconds(500)
    start.workflow.graceful_stop.FromSeconds(0)
    with recording_target(react) as target:
        outcome = await run(start, target)
    assert outcome.last.status == FAILED
    assert outcome.last.error.startswith(f"shop.setup: {reason}")
    assert provided(outcome) == {"status": 503}
