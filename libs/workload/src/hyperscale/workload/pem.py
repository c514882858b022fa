"""What of a text in PEM form matters: the blocks. Around them anybody may write anything (RFC 7468)."""

from __future__ import annotations

import re
from typing import Final

_BLOCK: Final = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?:(?!-----)[\x00-\x7f])*-----END (?P=label)-----")


def pem_blocks(text: str) -> str:
    """The blocks of a text, each on lines of its own, in ASCII; empty when there are none."""
    return "".join(f"{block.group()}\n" for block in _BLOCK.finditer(text))
