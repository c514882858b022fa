"""The three steps as a coded workflow, as a user writes it."""

from hyperscale.workload import Workflow, step


class CodedSteps(Workflow):
    """Each step awaits one request."""

    vus = 64
    duration = "4s"

    @step()
    async def first(self) -> None:
        await self.http.get("/first")

    @step("first")
    async def second(self) -> None:
        await self.http.get("/second")

    @step("second")
    async def third(self) -> None:
        await self.http.get("/third")
