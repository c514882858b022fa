"""One cluster and one target for all tests here that do them no harm; they end with the last of these tests."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.target import BundledTarget, bundled_target

HERE = Path(__file__).parent


class SharedServers:
    """Started when a test asks for them first, since some do not."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started = ExitStack()

    @cached_property
    def cluster(self) -> LocalCluster:
        """Two datacenters with one manager and one worker of one core each, behind one gate."""
        return self._started.enter_context(local_cluster(self._directory, datacenters=2, cores=1))

    @cached_property
    def target(self) -> BundledTarget:
        """The bundled target."""
        return self._started.enter_context(bundled_target())

    def stop(self) -> None:
        """Stop what was started."""
        self._started.close()


SHARED = pytest.StashKey[SharedServers]()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop them before tests elsewhere, which go on for long."""
    shared = item.session.stash.get(SHARED, None)
    if shared is not None and (nextitem is None or HERE not in nextitem.path.parents):
        del item.session.stash[SHARED]
        shared.stop()


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SharedServers:
    """The servers of this process."""
    return request.session.stash.setdefault(SHARED, SharedServers(tmp_path_factory.getbasetemp()))


@pytest.fixture
def cluster(shared: SharedServers) -> LocalCluster:
    """A cluster of two datacenters; leave it as it is."""
    return shared.cluster


@pytest.fixture
def target(shared: SharedServers) -> BundledTarget:
    """The bundled target."""
    return shared.target
