"""A server in a thread of the test that remembers every request and answers with JSON of the test's choice."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """What is answered."""

    content: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordingTarget:
    """A running server."""

    url: str
    seen: list[SeenRequest]
    """In the order of arrival."""


@contextmanager
def recording_target(
    react: Callable[[SeenRequest], Reaction] = lambda _: Reaction(), *, tls: ssl.SSLContext | None = None
) -> Iterator[RecordingTarget]:
    """A server for the length of the block."""
    seen: list[SeenRequest] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            request = SeenRequest(self.command, self.path, dict(self.headers.items()), body)
            seen.append(request)
            reaction = react(request)
            content = json.dumps(reaction.content).encode()
            self.send_response(reaction.status)
            for name, value in reaction.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            """Tests say for themselves what they see."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield RecordingTarget(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", seen)
        finally:
            server.shutdown()
            thread.join()
