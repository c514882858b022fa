"""The program `hyperscale-manager`."""

from __future__ import annotations

import os
import sys

# Statistics are added, no matrices multiplied: numpy need not start a thread per core for that. It looks at this when it
# is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hyperscale.manager.config import ManagerConfig
from hyperscale.manager.server import serve
from hyperscale.runtime.process import run_node


def main() -> int:
    """Run a manager until it is told to stop; returns the exit code of the process."""
    return run_node(serve, ManagerConfig, role="manager")


if __name__ == "__main__":
    sys.exit(main())
