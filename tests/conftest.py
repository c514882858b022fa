"""What every test gets; fixtures of one layer stand in that layer's own conftest."""

from __future__ import annotations

import os

# Decided once, before grpc is imported: its C core must not print fork and shutdown chatter between the test lines.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
