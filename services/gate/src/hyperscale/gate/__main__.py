"""Start of a gate: ``hyperscale-gate``."""

from __future__ import annotations

import os
import sys

# Statistics are added, no matrices multiplied: numpy need not start a thread per core for that. It looks at this when it
# is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hyperscale.gate.config import GateConfig
from hyperscale.gate.server import serve_gate
from hyperscale.runtime.process import run_node


def main() -> int:
    """Run a gate until it is told to stop; returns the exit code."""
    return run_node(serve_gate, GateConfig, role="gate")


if __name__ == "__main__":
    sys.exit(main())
