"""What every test gets; fixtures of one layer stand in that layer's own conftest."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support.standstill import Metronome

# Decided once, before grpc is imported: its C core must not print fork and shutdown chatter between the test lines.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# How long an example takes says how busy the machine is; what must be quick is measured where that is the point.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

METRONOME = pytest.StashKey[Metronome]()
# A bad time may be a minute long.
RERUNS = {"reruns": 3, "reruns_delay": 5, "reruns_delay_backoff_factor": 3}


def pytest_configure(config: pytest.Config) -> None:
    """Watch the machine from now on."""
    config.stash[METRONOME] = Metronome()
    config.stash[METRONOME].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no thread behind."""
    config.stash[METRONOME].stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run again what failed while cores were short: a load that could not be made then is no fault of ours."""
    again = pytest.mark.flaky(condition=config.stash[METRONOME].was_short_of_cores, **RERUNS)
    for item in items:
        item.add_marker(again)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What happened before this attempt does not excuse it."""
    item.config.stash[METRONOME].forget()
