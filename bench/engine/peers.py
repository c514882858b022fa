"""Generators with the same task, each in a process of its own on the same core: one sample is one run of one of them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.engine import three_steps
from bench.engine.engine_process import Run, engine_process, steady_load
from bench.engine.machine import GENERATOR_CORE, children_cpu_seconds
from bench.engine.three_steps import CodedSteps
from hyperscale.workload.bundles import pack_bundle

THREE_PATHS_LUA = """
local requests, next = {}, 0
function init(args)
  for index, path in ipairs({"/first", "/second", "/third"}) do requests[index] = wrk.format("GET", path) end
end
function request()
  next = next % 3 + 1
  return requests[next]
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One generator in one round."""

    requests: int
    elapsed_seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.elapsed_seconds

    @property
    def cpu_us(self) -> float:
        """CPU time per request."""
        return self.cpu_seconds / self.requests * 1e6


def run_wrk(url: str, seconds: float, connections: int) -> Sample:
    """The same path again and again: the least that a generator can do."""
    return _run_wrk([f"{url}/first"], seconds, connections)


def run_wrk_three_paths(url: str, seconds: float, connections: int) -> Sample:
    """The three paths in turn, by a script."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "three.lua"
        script.write_text(THREE_PATHS_LUA)
        return _run_wrk(["-s", str(script), url], seconds, connections)


def run_declared(url: str, seconds: float, connections: int, core: int = GENERATOR_CORE) -> Sample:
    """The three paths in turn, as a declared workflow."""
    with engine_process(core) as engine:
        return _sample(engine.run(steady_load(connections, seconds), url))


def run_coded(url: str, seconds: float, connections: int) -> Sample:
    """The three paths in turn, as a workflow in Python that awaits each answer."""
    workflow = steady_load(connections, seconds)
    for step in workflow.steps:
        step.ClearField("http")
    workflow.class_name = CodedSteps.__name__
    with engine_process(GENERATOR_CORE) as engine:
        return _sample(engine.run(workflow, url, bundle=pack_bundle(Path(three_steps.__file__))))


def _sample(run: Run) -> Sample:
    return Sample(run.requests, run.elapsed_seconds, run.cpu_seconds)


def _run_wrk(arguments: list[str], seconds: float, connections: int) -> Sample:
    command = [
        "taskset",
        "-c",
        str(GENERATOR_CORE),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{round(seconds)}",
        *arguments,
    ]
    before = children_cpu_seconds()
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 20).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", output)
    assert found, output
    return Sample(int(found[1]), float(found[2]), children_cpu_seconds() - before)
