"""Users who log in, look at items with the token they were given, and now and then order one.

    hyperscale run examples/coded_http.py

docs/workflows.md explains what workflows in Python can do.
"""

import random

from hyperscale.workload import Job, Metric, Workflow, step

job = Job(
    name="shop",
    target="bundled://",
    thresholds={
        "http_req_failed": "rate < 1%",
        "checks": "rate > 99%",
        "orders": "count > 0",
        "http_req_duration{step:browse}": "p(95) < 500ms",
    },
    timeout="1m",
)


class Shop(Workflow):
    """Each user is an instance: what a step keeps in `self`, later steps and iterations find there."""

    vus = 4
    duration = "3s"
    think_time = "10ms"

    orders = Metric.counter("orders")
    basket = Metric.trend("basket")

    def __init__(self) -> None:
        self.token = ""

    async def setup(self) -> None:
        """Once, before anybody comes; what it provides, every user in every datacenter can use."""
        response = await self.http.post("/items/4711", json={"name": "on sale"})
        self.provide("item", response.json()["id"])

    async def teardown(self) -> None:
        """Once, after everybody has gone, whatever became of the job."""
        await self.http.delete(f"/items/{self.use('item')}")

    @step()
    async def login(self) -> None:
        """Once per user."""
        if not self.token:
            response = await self.http.post("/login", json={"user": "alice", "password": "wonderland"})
            self.token = response.json()["token"]

    @step("login")
    async def browse(self) -> None:
        """See who we are, and what there is."""
        me = await self.http.get("/me", headers={"Authorization": f"Bearer {self.token}"})
        self.check("knows the user", me.json()["user"] == "alice")
        items = (await self.http.get("/items")).json()["items"]
        self.check("has items", len(items) > 0)

    @step("browse")
    async def order(self) -> Metric | None:
        """Every fifth time."""
        if random.random() > 0.2:
            return None
        count = random.randint(1, 5)
        await self.http.put(f"/items/{self.use('item')}", json={"count": count})
        self.basket.add(count)
        return self.orders.add()
