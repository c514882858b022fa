"""What encryption has to offer to a node."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class SealRefusal(StrEnum):
    """Why something was not opened."""

    TRUNCATED = "truncated"
    WRONG_VERSION = "wrong_version"
    WRONG_GROUP = "wrong_group"
    """Of another cluster or environment."""
    NO_KEY = "no_key"
    """No key fits, or the data was changed on the way."""
    MALFORMED = "malformed"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    ENDED_SESSION = "ended_session"


class Seal(Protocol):
    """Encrypts what leaves and decrypts what arrives; a keyring is one."""

    @property
    def overhead_bytes(self) -> int:
        """By how much sealed data is longer."""
        ...

    def seal(self, plain: bytes) -> bytes:
        """Encrypt."""
        ...

    def open(self, sealed: bytes) -> bytes | SealRefusal:
        """Decrypt, or say why it must not be read."""
        ...
