"""What a worker can be told, and what it refuses to be told."""

import os

import pytest

from hyperscale.runtime.config import load_config
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.worker.config import WorkerConfig

REQUIRED = ("--datacenter", "us-east", "--managers", "127.0.0.1:7001, manager-2:7002")


def load(*arguments: str) -> WorkerConfig:
    return load_config(WorkerConfig, arguments, "hyperscale-worker", "HYPERSCALE_WORKER_", {})


def test_managers_may_be_names_to_look_up_which_are_not_called_themselves() -> None:
    names = "dns://managers.test:7000,srv://_swim._udp.managers.test,k8s://managers.load:7000"
    config = load("--datacenter", "us-east", "--managers", f"10.0.0.1:7000,{names}")
    assert config.managers == ("10.0.0.1:7000", *names.split(","))
    assert config.manager_addresses == ("10.0.0.1:7000",)


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
        (("--managers", "dns://manager"), "managers"),
        (("--managers", "srv://manager:7000"), "managers"),
        (("--managers", "http://manager:7000"), "managers"),
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
