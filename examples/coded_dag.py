"""One workflow prepares what two others need, and a last one looks at what they did.

    hyperscale run examples/coded_dag.py

Each workflow starts as soon as those it depends on are done.
"""

from hyperscale.workload import Job, SharedIterations, Workflow, depends, step

job = Job(name="dag", target="bundled://", thresholds={"checks": "rate == 100%"}, timeout="1m")


class Seed(Workflow):
    """Runs first, once: what it provides reaches every workflow that depends on it."""

    profile = SharedIterations(vus=1, iterations=1)

    @step()
    async def login(self) -> None:
        """Get a token for all."""
        response = await self.http.post("/login", json={"user": "alice"})
        self.provide("token", response.json()["token"])


@depends(Seed)
class Readers(Workflow):
    """Runs at the same time as `Writers`."""

    profile = SharedIterations(vus=2, iterations=100)

    @step()
    async def read(self) -> None:
        """With the token of `Seed`."""
        me = await self.http.get("/me", headers={"Authorization": f"Bearer {self.use('token')}"})
        self.check("knows the user", me.json() == {"user": "alice"})


@depends(Seed)
class Writers(Workflow):
    """Runs at the same time as `Readers`."""

    profile = SharedIterations(vus=2, iterations=50)

    @step()
    async def write(self) -> None:
        """Leaves the number that it wrote last."""
        response = await self.http.post("/echo", json={"number": 42})
        self.provide("written", response.json()["number"])


@depends(Readers, Writers)
class Report(Workflow):
    """Has what all of them provided."""

    profile = SharedIterations(vus=1, iterations=1)

    @step()
    async def look(self) -> None:
        """Values come as they were provided: any JSON."""
        self.check("was written", self.use("written") == 42)
        self.check("has the token", self.use("token").startswith("token-"))
