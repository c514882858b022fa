"""Clusters shared by the tests of one file."""

from collections.abc import Iterator

import pytest

from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.target import BundledTarget, bundled_target


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two datacenters with one manager and one worker each, behind one gate."""
    with local_cluster(tmp_path_factory.mktemp("two-datacenters"), datacenters=2) as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Iterator[BundledTarget]:
    """The bundled target."""
    with bundled_target() as running:
        yield running
