"""Encrypted datagrams: AES-GCM under one of several keys, so that keys change without downtime.

A sealed datagram is `version (1) | group (4) | nonce (12) | ciphertext | tag (16)`. The group is a digest of cluster and
environment: it tells a stranger from a wrong key, and both are bound to the ciphertext as associated data. Inside are the
sender, the session (when it started) and a sequence number, by which replays are refused.

To change keys: add the new one on every node, then use it on every node, then remove the old one on every node.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyperscale.swim.replay import ReplayVerdict, ReplayWindow
from hyperscale.swim.seal import SealRefusal

KEYS_MAX = 8
"""Each is tried on what arrives; two are enough for a rotation."""
KEY_BYTES = (16, 24, 32)
"""AES-128, AES-192, AES-256."""

_VERSION = 1
_HEADER = struct.Struct("!B4s")
_NONCE_BYTES = 12
_TAG_BYTES = 16
_COUNTERS = struct.Struct("!QQB")
_SENDER_MAX_BYTES = 255
_SMALLEST = _HEADER.size + _NONCE_BYTES + _COUNTERS.size + _TAG_BYTES


class KeyringError(ValueError):
    """A key or a step of its rotation that cannot be."""


_BY_VERDICT = {
    ReplayVerdict.DUPLICATE: SealRefusal.DUPLICATE,
    ReplayVerdict.TOO_OLD: SealRefusal.TOO_OLD,
    ReplayVerdict.ENDED_SESSION: SealRefusal.ENDED_SESSION,
}


class Keyring:
    """The keys a node has. The first one encrypts, all of them decrypt."""

    def __init__(self, primary: bytes, *others: bytes) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        self._primary = primary
        for key in (primary, *others):
            self.add(key)

    @property
    def primary(self) -> bytes:
        """The key that encrypts."""
        return self._primary

    def add(self, key: bytes) -> None:
        """Decrypt with this key too; one that is known already stays what it is."""
        if len(key) not in KEY_BYTES:
            raise KeyringError(f"a key has 16, 24 or 32 bytes, not {len(key)}")
        if key not in self._ciphers and len(self._ciphers) >= KEYS_MAX:
            raise KeyringError(f"there are {KEYS_MAX} keys already; remove one first")
        self._ciphers.setdefault(key, AESGCM(key))

    def use(self, key: bytes) -> None:
        """Encrypt with this key from now on; it must have been added."""
        if key not in self._ciphers:
            raise KeyringError("the key is not known; add it first")
        self._primary = key

    def remove(self, key: bytes) -> None:
        """Decrypt with this key no longer; the one that encrypts cannot go."""
        if key == self._primary:
            raise KeyringError("the key is in use; use another one first")
        self._ciphers.pop(key, None)

    def replace(self, primary: bytes, *others: bytes) -> None:
        """Have exactly these keys from now on; raises KeyringError, and nothing changes, when they cannot be."""
        replacement = Keyring(primary, *others)
        self._ciphers, self._primary = replacement._ciphers, primary

    def encrypt(self, nonce: bytes, plain: bytes, label: bytes) -> bytes:
        """Encrypt under the primary key; the label is authenticated, not sent."""
        return self._ciphers[self._primary].encrypt(nonce, plain, label)

    def decrypt(self, nonce: bytes, secret: bytes, label: bytes) -> bytes | None:
        """Decrypt with whichever key fits; none when no key does."""
        primary = self._ciphers[self._primary]
        for cipher in (primary, *(other for other in self._ciphers.values() if other is not primary)):
            try:
                return cipher.decrypt(nonce, secret, label)
            except InvalidTag:
                continue
        return None


@dataclass(frozen=True, slots=True)
class SealIdentity:
    """Under whose name a node seals."""

    cluster_id: str
    environment_id: str
    node_id: str
    session: int
    """Grows from start to start of the node: microseconds of the wall clock when it started. One that started with an earlier
    number is refused by all who heard the later one."""

    @property
    def label(self) -> bytes:
        """Cluster and environment without ambiguity."""
        cluster, environment = self.cluster_id.encode(), self.environment_id.encode()
        return struct.pack("!BI", _VERSION, len(cluster)) + cluster + environment


class DatagramSeal:
    """Seals what a node sends and opens what it receives; nothing it refuses has any effect.

    Parameters
    ----------
    random_bytes
        Source of nonces: `os.urandom`. Random nonces of 12 bytes are safe for 2³² datagrams of all nodes under one key; a
        thousand nodes should change keys each month.
    """

    def __init__(
        self,
        keyring: Keyring,
        identity: SealIdentity,
        random_bytes: Callable[[int], bytes],
        replays: ReplayWindow | None = None,
    ) -> None:
        sender = identity.node_id.encode()
        if not 0 < len(sender) <= _SENDER_MAX_BYTES:
            raise ValueError(f"a node's id has 1 to {_SENDER_MAX_BYTES} bytes")
        self._keyring = keyring
        self._random_bytes = random_bytes
        self._replays = replays or ReplayWindow()
        self._label = identity.label
        self._header = _HEADER.pack(_VERSION, hashlib.blake2b(self._label, digest_size=4).digest())
        self._session = identity.session
        self._sender = sender
        self._sequence = 0
        self.refusals: Counter[SealRefusal] = Counter()

    @property
    def overhead_bytes(self) -> int:
        """By how much sealed data is longer."""
        return _SMALLEST + len(self._sender)

    @property
    def mark(self) -> bytes:
        """What everything starts with that is sealed for this cluster and environment, and nothing else."""
        return self._header

    def seal(self, plain: bytes) -> bytes:
        """Encrypt a datagram."""
        self._sequence += 1
        counters = _COUNTERS.pack(self._session, self._sequence, len(self._sender))
        nonce = self._random_bytes(_NONCE_BYTES)
        return self._header + nonce + self._keyring.encrypt(nonce, counters + self._sender + plain, self._label)

    def open(self, sealed: bytes) -> bytes | SealRefusal:
        """Decrypt a datagram, or say, and count, why it must not be read."""
        opened = self._opened(sealed)
        if isinstance(opened, SealRefusal):
            self.refusals[opened] += 1
        return opened

    def _opened(self, sealed: bytes) -> bytes | SealRefusal:
        if len(sealed) < _SMALLEST:
            return SealRefusal.TRUNCATED
        if sealed[0] != _VERSION:
            return SealRefusal.WRONG_VERSION
        if sealed[: _HEADER.size] != self._header:
            return SealRefusal.WRONG_GROUP
        start = _HEADER.size + _NONCE_BYTES
        plain = self._keyring.decrypt(sealed[_HEADER.size : start], sealed[start:], self._label)
        return SealRefusal.NO_KEY if plain is None else self._fresh(plain)

    def _fresh(self, plain: bytes) -> bytes | SealRefusal:
        session, sequence, length = _COUNTERS.unpack_from(plain)
        end = _COUNTERS.size + length
        sender = plain[_COUNTERS.size : end]
        if not sender or len(sender) != length:
            return SealRefusal.MALFORMED
        verdict = self._replays.check(sender, session, sequence)
        return plain[end:] if verdict is ReplayVerdict.FRESH else _BY_VERDICT[verdict]
