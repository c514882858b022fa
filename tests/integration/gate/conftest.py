"""Gates of one test, on one sqlite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gate.fakes import Gates


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    started = Gates(tmp_path)
    yield started
    started.stop()
