"""Users who sign in over TCP, on a connection that stays open, and send what they measure over UDP.

hyperscale run examples/coded_sockets.py

Name servers that send back what they get: lines over TCP, datagrams over UDP.
"""

from hyperscale.workload import Job, RequestError, Workflow, step

SERVER = "127.0.0.1:7001"
COLLECTOR = "127.0.0.1:7002"

job = Job(
    name="coded-sockets",
    thresholds={"checks": "rate == 100%", "tcp_req_failed": "rate == 0", "udp_reqs": "count > 30"},
    timeout="1m",
)


class Sensors(Workflow):
    """Each user is a sensor."""

    vus = 4
    duration = "3s"
    think_time = "20ms"

    @step()
    async def sign_in(self) -> None:
        """The connection is the one of the last iteration."""
        async with self.tcp.connect(SERVER, keep_open=True, timeout_seconds=5) as connection:
            await connection.send("hello\n")
            self.check("is greeted", await connection.read_until("\n") == b"hello\n")
            await connection.send(b"\x00\x01\n")
            self.check("is told", await connection.read(3) == b"\x00\x01\n")

    @step("sign_in")
    async def measure(self) -> None:
        """Datagrams can be lost: one that is, is sent once more."""
        async with self.udp.open(COLLECTOR, timeout_seconds=1) as socket:
            await socket.send("21.5")
            try:
                answer = await socket.receive()
            except RequestError:
                await socket.send("21.5")
                answer = await socket.receive()
            self.check("is heard", answer == b"21.5")

    @step("measure")
    async def sign_out(self) -> None:
        """A connection of its own, until the server closes it."""
        async with self.tcp.connect(f"tcp://{SERVER}") as connection:
            await connection.send("bye\n")
            self.check("is let go", await connection.read_to_end() == b"bye\n")
