"""The program ``hyperscale-worker``."""

from __future__ import annotations

import os
import sys

# Engines are forked and replace their memory at once: gRPC need not stop its threads for that, nor say that it could
# not. It looks at this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Statistics are added, no matrices multiplied: numpy need not start a thread per core for that.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hyperscale.runtime.process import run_node
from hyperscale.worker.config import WorkerConfig
from hyperscale.worker.server import run_worker


def main() -> None:
    """Run a worker until it is told to stop; exits with its exit code."""
    sys.exit(run_node(run_worker, WorkerConfig, role="worker"))


if __name__ == "__main__":
    main()
