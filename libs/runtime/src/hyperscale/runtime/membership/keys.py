"""The keys that encrypt what a group says, from a file."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from hyperscale.runtime.errors import ConfigurationError, FieldViolation
from hyperscale.swim.keyring import KEY_BYTES, KEYS_MAX

_FIELD = "membership_keys_file"


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Read keys, the one that encrypts first: one per line in base64; empty lines and lines with ``#`` are left out.

    Raises ConfigurationError with every fault; never with a key in it.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _fault(f"{path}: {error}") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    keys = [(number, _decoded(line)) for number, line in numbered if line and not line.startswith("#")]
    faults = [
        f"{path}, line {number}: no base64 of {', '.join(map(str, KEY_BYTES))} bytes" for number, key in keys if not key
    ]
    if not 1 <= len(keys) <= KEYS_MAX:
        faults.append(f"{path}: has {len(keys)} keys; 1 to {KEYS_MAX} are needed")
    if faults:
        raise ConfigurationError([FieldViolation(_FIELD, fault) for fault in faults])
    return tuple(key for _, key in keys)


def _decoded(line: str) -> bytes:
    """A key; empty when it is none."""
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return key if len(key) in KEY_BYTES else b""


def _fault(text: str) -> ConfigurationError:
    return ConfigurationError([FieldViolation(_FIELD, text)])
