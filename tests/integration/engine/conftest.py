"""Engines are kept from test to test, and none of them outlives the tests."""

from collections.abc import Iterator

import pytest

from tests.integration.engine.engine_process import end_idle_engines


@pytest.fixture(scope="session", autouse=True)
def _no_engine_stays() -> Iterator[None]:
    yield
    end_idle_engines()
