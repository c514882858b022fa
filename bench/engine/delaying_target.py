"""A target that answers each request after the delay that the schedule has for it, and says how long it has held each.

The machine may let a sleeper wait longer than it meant to: what was imposed is what the target's own clock says, from having read
the request to having written the answer. A thread per connection sleeps in the kernel, to some 0.06 ms: event loops round their
timers to whole milliseconds.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import sys
import threading
import time
from collections import deque

from bench.engine.schedule import delay_seconds

MOST_REMEMBERED = 1_000_000
"""The oldest are forgotten then, which the count of those told gives away."""
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_numbers = itertools.count()


def main() -> None:
    """Print the port, serve until the input ends and the connections are closed, and print the seconds held as JSON."""
    held_seconds: deque[float] = deque(maxlen=MOST_REMEMBERED)
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        print(server.getsockname()[1], flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            threads.append(threading.Thread(target=_serve, args=[connection, held_seconds]))
            threads[-1].start()
    for thread in threads:
        thread.join()
    print(json.dumps(list(held_seconds)))


def _serve(connection: socket.socket, held_seconds: deque[float]) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The requests are small and have no body: each arrives in one piece.
        while connection.recv(65536):
            read_at = time.monotonic()
            time.sleep(delay_seconds(next(_numbers)))
            connection.sendall(RESPONSE)
            held_seconds.append(time.monotonic() - read_at)


if __name__ == "__main__":
    main()
