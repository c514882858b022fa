"""What every test gets; fixtures of one layer stand in that layer's own conftest."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Decided once, before grpc is imported: its C core must not print fork and shutdown chatter between the test lines.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# How long an example takes says how busy the machine is; what must be quick is measured where that is the point.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
