"""Limits of the contract, and the checks that validation repeats for many fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration

from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.timestamps import seconds_of

DAY_SECONDS: Final = 24 * 3600.0
"""Longest load."""
MAX_JOB_TIMEOUT_SECONDS: Final = 25 * 3600.0
MAX_FIRST_EXTENSION_SECONDS: Final = 3600.0
"""Longest first grant of time beyond a deadline."""
MAX_EXTENSION_SECONDS: Final = 2 * MAX_FIRST_EXTENSION_SECONDS
"""More than all grants together: each is half of the one before."""
MAX_GRACEFUL_STOP_SECONDS: Final = 600.0
MAX_REQUEST_TIMEOUT_SECONDS: Final = 600.0

MAX_VUS: Final = 1_000_000
MAX_RATE: Final = 10_000_000
"""Iterations per time unit of an arrival rate."""
MAX_STAGES: Final = 100
MAX_THINK_SECONDS: Final = 3600.0
MAX_WORKFLOWS: Final = 100
MAX_DEPENDENCIES: Final = MAX_WORKFLOWS - 1
MAX_STEPS: Final = 100
MAX_THRESHOLDS: Final = 100
MAX_DATACENTERS: Final = 100
MAX_WEIGHT: Final = 1000
MAX_HEADERS: Final = 100
MAX_REDIRECTS: Final = 50
MAX_CERTIFICATES_LENGTH: Final = 256 * 1024
MAX_KEY_LENGTH: Final = 64 * 1024
MAX_CONNECTIONS_PER_ORIGIN: Final = 1_000_000
MAX_EXPECTED_STATUSES: Final = 100
MAX_ONCE_SECONDS: Final = 3600.0
"""Longest setup or teardown."""
MAX_FEEDS: Final = 20
MAX_VARIABLES: Final = 100
MAX_VARIABLE_LENGTH: Final = 4096
MAX_CHECKS: Final = 50
MAX_CODED_CHECKS: Final = 100
"""Names of checks that the code of a step may use."""
MAX_DECLARED_METRICS: Final = 100
"""Metrics that the class of a workflow may have."""
MAX_CHECK_NAME_LENGTH: Final = 200
MAX_EXTRACTIONS: Final = 50
MAX_EXPECTED_TEXT_LENGTH: Final = 4096
MAX_QUERY_LENGTH: Final = 262_144
"""Characters of a GraphQL document."""
MAX_SUBPROTOCOLS: Final = 20
MAX_SESSION_ACTIONS: Final = 1000
MAX_EXPECTED_MESSAGES: Final = 1_000_000
MAX_GRPC_MESSAGES: Final = 10_000
MAX_DESCRIPTOR_SET_BYTES: Final = 1024 * 1024
MAX_GRPC_STATUS: Final = 16
MAX_READ_BYTES: Final = 2**30
"""Of one read over TCP."""
MAX_DATAGRAM_BYTES: Final = 65_507
"""What fits into a UDP datagram over IPv4."""
MAX_JOB_NAME_LENGTH: Final = 128
MAX_IDEMPOTENCY_KEY_LENGTH: Final = 128

_NANOS_PER_SECOND: Final = 1_000_000_000

EntryT = TypeVar("EntryT")


def at_most(faults: FaultCollector, path: str, entries: Sequence[EntryT], limit: int) -> Sequence[EntryT]:
    """The first `limit` entries; note it when there are more."""
    if len(entries) > limit:
        faults.add(path, f"at most {limit} are allowed, not {len(entries)}")
    return entries[:limit]


def check_length(faults: FaultCollector, path: str, text: str, longest: int) -> None:
    """Note a text that has more than `longest` characters."""
    if len(text) > longest:
        faults.add(path, f"must have at most {longest} characters, not {len(text)}")


def check_duration(faults: FaultCollector, path: str, duration: Duration, *, longest_seconds: float) -> bool:
    """Note a duration that is malformed, not above 0, or longer than `longest_seconds`; whether it is none of that."""
    if abs(duration.nanos) >= _NANOS_PER_SECOND or duration.seconds * duration.nanos < 0:
        faults.add(path, "is not a valid duration: nanos must be below a second and have the sign of seconds")
        return False
    if not 0.0 < seconds_of(duration) <= longest_seconds:
        faults.add(path, f"must be above 0s and at most {_shown(longest_seconds)}, not {seconds_of(duration):g}s")
        return False
    return True


def _shown(seconds: float) -> str:
    return f"{seconds / 3600:g}h" if seconds >= 3600 else f"{seconds / 60:g}m"
