"""What a worker can be told, and what it refuses to be told."""

import os

import pytest

from hyperscale.runtime.config import load_config
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.worker.config import WorkerConfig

REQUIRED = ("--datacenter", "us-east", "--managers", "127.0.0.1:7001, manager-2:7002")


def load(*arguments: str) -> WorkerConfig:
    return load_config(WorkerConfig, arguments, "hyperscale-worker", "HYPERSCALE_WORKER_", {})


def test_a_worker_needs_a_datacenter_and_managers_only() -> None:
    config = load(*REQUIRED)
    assert config.managers == ("127.0.0.1:7001", "manager-2:7002")
    assert config.cores == len(os.sched_getaffinity(0))
    assert config.orphan_grace_seconds == 30
    assert config.engine_stall_seconds == 10


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("--managers", "manager"), "managers"),
        (("--managers", "manager:0"), "managers"),
        (("--managers", "a:1,a:1"), "managers"),
        (("--managers", ""), "managers"),
        (("--datacenter", ""), "datacenter"),
        (("--cores", "0"), "cores"),
        (("--engine-stall-seconds", "0.5"), "engine_stall_seconds"),
    ],
)
def test_faulty_values_are_named(arguments: tuple[str, ...], path: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(*REQUIRED, *arguments)
    assert [violation.path for violation in refused.value.violations] == [path]
