"""Runs the target, `hyperscale target` or `python -m hyperscale.client.target`; prints one JSON line when it listens."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from hyperscale.client.target.grpc_relay import GrpcRelay
from hyperscale.client.target.server import RequestCounter, TargetConnection

# The faster loop where it is installed; the target works on either.
try:
    from uvloop import run
except ImportError:
    from asyncio import run  # type: ignore[assignment]  # same call, older signature

_BACKLOG = 4096
_PARENT_POLL_SECONDS = 0.5


def main() -> None:
    """Serve until a signal or, if asked, the parent's end."""
    run(_serve(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hyperscale target",
        description="A small server to try load tests on, HTTP and gRPC; prints one JSON line when it listens.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one (default %(default)s)")
    parser.add_argument("--ready-file", type=Path, help="file to write the ready line to as well")
    parser.add_argument("--parent-pid", type=int, help="end when the parent is not, or no longer, this process")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    async with asyncio.TaskGroup() as tasks:
        await _serve_in(tasks, arguments)


async def _serve_in(tasks: asyncio.TaskGroup, arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    counter = RequestCounter()
    relay = GrpcRelay(counter, tasks)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        server = await loop.create_server(
            partial(TargetConnection, counter, relay.take), arguments.host, arguments.port, backlog=_BACKLOG
        )
    except OSError as error:
        sys.exit(f"error: cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}")
    async with server:
        _announce(server, arguments.ready_file)
        if arguments.parent_pid is None:
            await ended.wait()
        else:
            await _wait_for_parent_or(ended, arguments.parent_pid)
    # Connections are not waited for: whoever ends the target wants it gone.
    os._exit(0)


def _announce(server: asyncio.Server, ready_file: Path | None) -> None:
    host, port = server.sockets[0].getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    line = json.dumps({"role": "target", "address": address, "pid": os.getpid()})
    if ready_file is not None:
        partial_file = ready_file.with_name(f"{ready_file.name}.part")
        partial_file.write_text(line)
        partial_file.replace(ready_file)
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _wait_for_parent_or(ended: asyncio.Event, parent_pid: int) -> None:
    while not ended.is_set() and os.getppid() == parent_pid:
        try:
            await asyncio.wait_for(ended.wait(), _PARENT_POLL_SECONDS)
        except TimeoutError:
            continue


if __name__ == "__main__":
    main()
