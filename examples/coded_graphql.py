"""Users of a GraphQL shop, in Python: they order an item and look at their order until it is known.

    hyperscale run examples/coded_graphql.py --target http://127.0.0.1:8000

Name a target whose schema has these fields. GraphQL is HTTP: `self.http` sends it, and what the answer says is checked here.
"""

from typing import Any

from hyperscale.workload import Job, Metric, Workflow, step

job = Job(
    name="coded-graphql",
    target="http://127.0.0.1:8000",
    thresholds={"checks": "rate == 100%", "http_req_failed": "rate == 0", "orders": "count > 10"},
    timeout="1m",
)

ORDER = "mutation Order($item: Int!, $note: String) { order(item: $item, note: $note) { number note } }"
STATUS = "query Status($number: Int!) { status(number: $number) }"


class Shop(Workflow):
    """Each user orders one thing after the other."""

    vus = 4
    duration = "3s"
    think_time = "20ms"

    orders = Metric.counter("orders")

    def __init__(self) -> None:
        self.number = 0

    async def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of an answer; a list of errors in it counts as a check that failed."""
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        self.check("has no errors", not answer.get("errors"))
        return answer["data"] or {}

    @step()
    async def order(self) -> Metric:
        """Order something, and keep the number of the order."""
        data = await self.ask(ORDER, item=1, note="as a present")
        self.number = data["order"]["number"]
        return self.orders.add()

    @step("order")
    async def status(self) -> None:
        """Ask for the order."""
        data = await self.ask(STATUS, number=self.number)
        self.check("is ordered", data["status"] == "ORDERED")
