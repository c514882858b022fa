"""How long a user pauses after its requests did not get through."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 1.0
_MOST_DOUBLINGS: Final = 10


def pause_seconds(failures_in_a_row: int) -> float:
    """Pause before the next request after connections failed: doubles from 10 ms up to 1 s, of which half is random.

    A target that refuses at once would otherwise make each user spin, and a thousand users reconnect in step.
    """
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures_in_a_row - 1, _MOST_DOUBLINGS))
    return longest * random.uniform(0.5, 1.0)
