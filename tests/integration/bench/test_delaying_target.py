"""The target of known delays says how long it has held each request."""

from __future__ import annotations

import time
import urllib.request

from bench.engine.distribution import delaying_target
from bench.engine.schedule import delay_seconds

REQUESTS = 5


def test_the_target_says_for_each_request_how_long_it_was_held() -> None:
    with delaying_target() as target:
        began = time.monotonic()
        for _ in range(REQUESTS):
            with urllib.request.urlopen(target.url, timeout=30) as response:
                assert response.read() == b"ok"
        held_seconds = target.end()
        elapsed_seconds = time.monotonic() - began
    asked_seconds = sorted(map(delay_seconds, range(REQUESTS)))
    assert all(held >= asked for held, asked in zip(sorted(held_seconds), asked_seconds, strict=True))
    assert max(held_seconds) < elapsed_seconds
