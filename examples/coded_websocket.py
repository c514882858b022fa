"""Users who join a chat, say something, wait until they hear it and leave.

    hyperscale run examples/coded_websocket.py --target http://127.0.0.1:8000

Name a target that sends back what it gets.
"""

from hyperscale.workload import Job, Metric, Workflow, step

job = Job(
    name="coded-websocket",
    target="http://127.0.0.1:8000",
    thresholds={"checks": "rate == 100%", "ws_req_failed": "rate == 0", "chat_messages": "count > 30"},
    timeout="1m",
)


class Chat(Workflow):
    """Each user joins, says two things and leaves, again and again."""

    vus = 4
    duration = "3s"
    think_time = "20ms"
    messages = Metric.counter("chat_messages")

    @step(timeout_seconds=10)
    async def talk(self) -> None:
        """One session: it is closed at the end of the block."""
        async with self.ws.connect("/chat", subprotocols=["chat.v2"]) as socket:
            self.check("is welcome", await socket.receive() == "welcome")
            for text in ("hello", "goodbye"):
                await socket.send(text)
                self.check("is heard", await socket.receive(timeout_seconds=5) == text)
                self.messages.add()
