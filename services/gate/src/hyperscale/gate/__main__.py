"""Start of a gate: ``hyperscale-gate``."""

from __future__ import annotations

import sys

from hyperscale.gate.config import GateConfig
from hyperscale.gate.server import serve_gate
from hyperscale.runtime.process import run_node


def main() -> int:
    """Run a gate until it is told to stop; returns the exit code."""
    return run_node(serve_gate, GateConfig, role="gate")


if __name__ == "__main__":
    sys.exit(main())
