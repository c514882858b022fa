"""Users of a gRPC shop: a call of each kind.

    hyperscale run examples/coded_grpc.py

docs/workflows.md explains what workflows in Python can do.
"""

from hyperscale.workload import Job, Workflow, step

job = Job(
    name="grpc shop",
    target="bundled://",
    thresholds={"grpc_req_failed": "rate == 0", "checks": "rate == 1", "grpc_streams": "count > 30"},
    timeout="1m",
)

SERVICE = "hyperscale.v1.TargetService"


class GrpcShop(Workflow):
    """The server describes itself; one that does not needs `descriptor_set = "FILE"` here."""

    vus = 4
    duration = "3s"
    think_time = "10ms"

    @step()
    async def look(self) -> None:
        """A status is a response, too."""
        item = await self.grpc.unary(f"{SERVICE}/GetItem", {"id": 7}, metadata={"x-user": "alice"}, timeout_seconds=2)
        self.check("has a name", item.message["name"] == "item 7")
        missing = await self.grpc.unary(f"{SERVICE}/GetItem", {"id": 0}, expected_statuses=[5])
        self.check("is not there", missing.details == "no item 0")

    @step("look")
    async def browse(self) -> None:
        """The server streams."""
        async with self.grpc.server_stream(f"{SERVICE}/ListItems", {"count": 10}) as items:
            numbers = [item["id"] async for item in items]
        self.check("has all items", numbers == list(range(1, 11)))

    @step("browse")
    async def order(self) -> None:
        """The client streams."""
        async with self.grpc.client_stream(f"{SERVICE}/OrderItems") as order:
            for number in (1, 2, 3):
                await order.send({"id": number, "count": 2})
            await order.done()
            receipt = await order.receive() or {}
        self.check("has all positions", receipt.get("positions") == 3)

    @step("order")
    async def chat(self) -> None:
        """Both stream, in turns."""
        async with self.grpc.bidi_stream(f"{SERVICE}/Chat") as talk:
            for text in ("hello", "anybody there?"):
                await talk.send({"text": text})
                self.check("is heard", await talk.receive() == {"text": text})
