"""Runs one engine process: `python -m hyperscale.worker.engine --fd N`, and what else `--help` tells."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import shutil
import signal
import socket
from typing import NoReturn

import uvloop

from hyperscale.worker.engine.session import Session
from hyperscale.worker.engine.watchdog import Watchdog


def main() -> None:
    """Serve the control process at the other end of the inherited socket until it closes it."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, format=f"engine {os.getpid()} %(levelname)s %(name)s: %(message)s")
    # Ctrl-C reaches the whole group; when an engine ends is for its control process to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _raise_open_files_limit()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    watchdog = None if arguments.trace_fd is None else Watchdog(arguments.trace_fd, arguments.trace_seconds)
    if arguments.scratch is not None:
        os.environ["TMPDIR"] = arguments.scratch
    uvloop.run(_serve(socket.socket(fileno=arguments.fd), watchdog, arguments.scratch))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hyperscale.worker.engine", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="number of the inherited stream socket")
    parser.add_argument("--core", type=int, help="processor core to stay on; default: wherever the system puts it")
    parser.add_argument("--scratch", help="directory for temporary files, removed at the end; default: the system's")
    parser.add_argument("--trace-fd", type=int, help="number of an inherited file that is told where the engine hangs")
    parser.add_argument("--trace-seconds", type=float, default=5.0, help="after so long (default %(default)s)")
    return parser.parse_args()


def _raise_open_files_limit() -> None:
    """Each user needs a descriptor per origin: as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(control: socket.socket, watchdog: Watchdog | None, scratch: str | None) -> NoReturn:
    control.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=control)
    async with asyncio.TaskGroup() as tasks:
        watch = None if watchdog is None else tasks.create_task(watchdog.watch(), name="watchdog")
        await Session(reader, writer).serve()
        if watch is not None:
            watch.cancel()
    if scratch is not None:
        # The control process does the same, but it may have been killed.
        shutil.rmtree(scratch, ignore_errors=True)
    # Nobody is left to report to, and a name lookup that hangs in a library thread must not keep the process.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
