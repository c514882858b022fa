"""A target that answers each request after the delay that the schedule has for it.

A thread per connection sleeps in the kernel, to some 0.06 ms: event loops round their timers to whole milliseconds.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time

from bench.engine.schedule import delay_seconds

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_numbers = itertools.count()


def main() -> None:
    """Print the port, then serve for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=[connection], daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The requests are small and have no body: each arrives in one piece.
        while connection.recv(65536):
            time.sleep(delay_seconds(next(_numbers)))
            connection.sendall(RESPONSE)


if __name__ == "__main__":
    main()
