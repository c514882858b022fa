"""An open model in Python: visitors of a shop arrive at a rate, whether or not the shop keeps up.

    hyperscale run examples/coded_soak.py

For a real soak, put an hour into the second stage. Durations count from when a visit was due, and visits that find all users
busy are counted in dropped_iterations: a shop that stalls cannot hide it.
"""

import asyncio
import random

from hyperscale.workload import Job, RampingArrivalRate, RampStage, Workflow, step

job = Job(
    name="coded-soak",
    target="bundled://",
    thresholds={
        "http_req_failed": "rate < 1%",
        "dropped_iterations": "count < 5",
        "http_req_duration": "p(95) < 500ms",
        "checks": "rate > 99%",
    },
    timeout="2m",
)


class Visits(Workflow):
    """Each iteration is one visit, by whichever user is free."""

    profile = RampingArrivalRate(
        stages=[RampStage("2s", 40), RampStage("3s", 40), RampStage("1s", 0)],
        start_rate=10,
        pre_allocated_vus=20,
        max_vus=100,
    )
    graceful_stop = "10s"

    @step()
    async def home(self) -> None:
        """Look around for a moment."""
        response = await self.http.get("/")
        self.check("is there", response.status == 200)
        await asyncio.sleep(random.uniform(0.05, 0.15))

    @step("home")
    async def item(self) -> None:
        """Look at something."""
        await self.http.get(f"/items/{random.randint(1, 1000)}")
