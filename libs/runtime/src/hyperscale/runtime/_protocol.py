"""The protocol version and capabilities that travel in the metadata of every call."""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.protocol import (
    CAPABILITIES,
    CAPABILITIES_METADATA_KEY,
    PROTOCOL_MAJOR,
    PROTOCOL_METADATA_KEY,
    PROTOCOL_MINOR,
)

OWN_VERSION = f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"

PROTOCOL_METADATA = (
    (PROTOCOL_METADATA_KEY, OWN_VERSION),
    (CAPABILITIES_METADATA_KEY, ",".join(sorted(CAPABILITIES))),
)


def protocol_fault(metadata: Iterable[tuple[str, str | bytes]]) -> HyperscaleError | None:
    """Why a call cannot be understood; None if it can, also when it names no version, as grpcurl does."""
    version = next((value for key, value in metadata if key == PROTOCOL_METADATA_KEY), None)
    if version is None:
        return None
    text = version if isinstance(version, str) else version.decode("ascii", errors="replace")
    if text.partition(".")[0] == str(PROTOCOL_MAJOR):
        return None
    return HyperscaleError(
        ErrorReason.PROTOCOL_MISMATCH, metadata={"caller_version": text[:32], "node_version": OWN_VERSION}
    )
