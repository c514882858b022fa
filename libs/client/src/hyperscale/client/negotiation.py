"""Protocol version and capabilities: what the client offers, and what is left after the gate's answer."""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.v1.protocol import (
    CAPABILITIES,
    CAPABILITIES_METADATA_KEY,
    PROTOCOL_MAJOR,
    PROTOCOL_METADATA_KEY,
    PROTOCOL_MINOR,
)

_OFFER = (
    (PROTOCOL_METADATA_KEY, f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"),
    (CAPABILITIES_METADATA_KEY, ",".join(sorted(CAPABILITIES))),
)


class Negotiation:
    """What client and gates have in common, as of the last answer."""

    def __init__(self) -> None:
        self._gate_protocol: str | None = None
        self._capabilities: frozenset[str] | None = None

    @property
    def offer(self) -> tuple[tuple[str, str], ...]:
        """Call metadata that says what the client speaks."""
        return _OFFER

    @property
    def gate_protocol(self) -> str | None:
        """``MAJOR.MINOR`` of the gate that answered last; None before the first answer."""
        return self._gate_protocol

    @property
    def capabilities(self) -> frozenset[str] | None:
        """Features that both sides speak; None until a gate has said what it speaks."""
        return self._capabilities

    def record(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Take over what a gate's answer says about itself."""
        said = {key: value for key, value in metadata if isinstance(value, str)}
        self._gate_protocol = said.get(PROTOCOL_METADATA_KEY, self._gate_protocol)
        spoken = said.get(CAPABILITIES_METADATA_KEY)
        if spoken is not None:
            self._capabilities = CAPABILITIES & {name.strip() for name in spoken.split(",")}
