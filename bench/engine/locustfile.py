"""The three steps as Locust's fastest user; run by Locust, in an environment of its own."""

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task  # type: ignore[import-not-found]  # not a dependency of ours


class ThreeSteps(FastHttpUser):  # type: ignore[misc]
    @task  # type: ignore[untyped-decorator]
    def all_steps(self) -> None:
        self.client.get("/first")
        self.client.get("/second")
        self.client.get("/third")


class Meter:
    """CPU time and requests between start and stop of the test, without the start of the interpreter."""

    def __init__(self) -> None:
        self.began = (0.0, 0.0)

    def start(self, **_: object) -> None:
        self.began = (time.perf_counter(), time.process_time())

    def stop(self, environment: Any, **_: object) -> None:
        began, cpu_before = self.began
        outcome = {
            "requests": environment.stats.total.num_requests,
            "failures": environment.stats.total.num_failures,
            "elapsed_seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_before,
        }
        Path(os.environ["BENCH_OUTCOME"]).write_text(json.dumps(outcome))


meter = Meter()
events.test_start.add_listener(meter.start)
events.test_stop.add_listener(meter.stop)
