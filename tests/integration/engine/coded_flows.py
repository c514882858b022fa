"""Coded workflows given to a real engine, and what their code came to."""

import textwrap
from pathlib import Path

from hyperscale.v1 import engine_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.bundles import pack_bundle
from tests.integration.engine.engine_process import Engine, Outcome, shared_iterations

HEADER = "import asyncio\nfrom hyperscale.workload import *\n"


def coded(directory: Path, body: str, *steps: str, iterations: int = 1, vus: int = 1) -> engine_pb2.EngineStart:
    """A start of class Flow, whose source begins with two lines of imports."""
    source = directory / "job.py"
    source.write_text(HEADER + textwrap.dedent(body))
    named = [workflow_pb2.Step(name=name) for name in steps]
    workflow = shared_iterations(*named, vus=vus, iterations=iterations)
    workflow.class_name = "Flow"
    return engine_pb2.EngineStart(run_id=1, workflow=workflow, bundle=pack_bundle(source))


async def run(engine: Engine, start: engine_pb2.EngineStart, target: str = "") -> Outcome:
    start.target = target
    engine.send(engine_pb2.EngineCommand(start=start))
    return await engine.outcome()


def exceptions(outcome: Outcome) -> dict[str, int]:
    return {sample.text: sample.count for sample in outcome.last.totals.error_samples}


def checks_of(outcome: Outcome) -> dict[str, tuple[int, int]]:
    """How often each check of any step held, and did not."""
    return {check.name: (check.passes, check.fails) for step in outcome.last.totals.steps for check in step.checks}


def failures_over(protocol: str, outcome: Outcome) -> dict[str, int]:
    """Failed calls of all steps by class."""
    return {
        pb.ErrorClass.Name(failure.error_class).removeprefix("ERROR_CLASS_"): failure.count
        for step in outcome.last.totals.steps
        for calls in step.protocols
        if calls.protocol == protocol
        for failure in calls.failures
    }
