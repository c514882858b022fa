"""What the tests of groups of real services share."""

from collections.abc import Iterator

import pytest

from tests.support.target import BundledTarget, bundled_target


@pytest.fixture(scope="package")
def target() -> Iterator[BundledTarget]:
    """The bundled target."""
    with bundled_target() as running:
        yield running
