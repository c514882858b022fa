"""What a node says of itself: only it raises its incarnation and its metadata's version."""

from __future__ import annotations

from hyperscale.swim.coordinates import Coordinate
from hyperscale.swim.models import METADATA_MAX_BYTES, Identity, Member, MemberState
from hyperscale.swim.wire import encode_envelope, encode_member, encode_sender

LOAD_MAX = 4.0
"""No peer stretches its timeouts further than this for a loaded one."""


class LocalNode:
    """The node itself. Its encoded forms are made anew only when something has changed."""

    def __init__(self, identity: Identity, incarnation: int, now: float) -> None:
        self.identity = identity
        self.node_id = identity.node_id
        self._incarnation = incarnation
        self._metadata = b""
        self._metadata_version = 0
        self._load = 1.0
        self._state = MemberState.ALIVE
        self._since = now
        self._envelope = encode_envelope(identity)
        self._prefix: bytes | None = None
        self._update: bytes | None = None

    @property
    def incarnation(self) -> int:
        """Which life, and which refutation in it."""
        return self._incarnation

    @property
    def metadata_version(self) -> int:
        """0 until there is metadata."""
        return self._metadata_version

    @property
    def is_leaving(self) -> bool:
        """Whether the node has said that it goes."""
        return self._state is MemberState.LEFT

    def supersede(self, incarnation: int) -> None:
        """Rise above what others believe."""
        self._incarnation = max(self._incarnation, incarnation) + 1
        self._changed()

    def supersede_metadata(self, version: int) -> None:
        """Make the present metadata newer than a version of an earlier life."""
        self._metadata_version = max(self._metadata_version, version) + 1
        self._changed()

    def set_metadata(self, metadata: bytes) -> bool:
        """Replace the metadata; false when it is what it was."""
        if len(metadata) > METADATA_MAX_BYTES:
            raise ValueError(f"metadata has {len(metadata)} bytes, {METADATA_MAX_BYTES} are possible")
        if metadata == self._metadata:
            return False
        self._metadata = metadata
        self.supersede_metadata(self._metadata_version)
        return True

    def set_load(self, factor: float) -> None:
        """Say how much longer than usual peers should wait for this node."""
        if not 1.0 <= factor <= LOAD_MAX:
            raise ValueError(f"load factor {factor} is not within 1 to {LOAD_MAX}")
        self._load = factor
        self._changed()

    def leave(self, now: float) -> None:
        """Go for good."""
        self._state = MemberState.LEFT
        self._since = now
        self._changed()

    def prefix(self) -> bytes:
        """Return the start of every envelope this node sends."""
        if self._prefix is None:
            sender = encode_sender(self.identity, self._incarnation, self._metadata_version, self._load)
            self._prefix = self._envelope + sender
        return self._prefix

    def update(self) -> bytes:
        """Return the update that tells others about this node."""
        if self._update is None:
            metadata = (self._metadata, self._metadata_version)
            self._update = encode_member(self.identity, self._state, self._incarnation, metadata)
        return self._update

    def view(self, coordinate: Coordinate | None) -> Member:
        """Return the node as a row of the table."""
        return Member(
            self.identity,
            self._state,
            self._incarnation,
            self._metadata,
            self._metadata_version,
            coordinate,
            self._since,
        )

    def _changed(self) -> None:
        self._prefix = None
        self._update = None
