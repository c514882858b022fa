"""The program ``hyperscale-worker``."""

from __future__ import annotations

import sys

from hyperscale.runtime.process import run_node
from hyperscale.worker.config import WorkerConfig
from hyperscale.worker.server import run_worker


def main() -> None:
    """Run a worker until it is told to stop; exits with its exit code."""
    sys.exit(run_node(run_worker, WorkerConfig, role="worker"))


if __name__ == "__main__":
    main()
