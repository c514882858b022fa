"""What encryption has to offer to a node."""

from __future__ import annotations

from typing import Protocol

from hyperscale.swim.models import NodeAddress


class Seal(Protocol):
    """Encrypts what leaves and decrypts what arrives; a keyring is one."""

    @property
    def overhead_bytes(self) -> int:
        """By how much sealed data is longer."""
        ...

    def seal(self, plain: bytes) -> bytes:
        """Encrypt."""
        ...

    def open(self, sealed: bytes, source: NodeAddress, now: float) -> bytes | None:
        """Decrypt; none when no key fits, the data was changed, or it was received before."""
        ...
