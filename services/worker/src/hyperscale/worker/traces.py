"""Where an engine that hangs was, by what it wrote about itself before it was killed."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.workload.bundles import DIRECTORY_PREFIX

_FRAME_OF_BUNDLE: Final = re.compile(rf'File "[^"]*/{DIRECTORY_PREFIX}[^/"]+/([^"]+)", line (\d+) in (\S+)')


def place_in_code(dump: str) -> str:
    """The innermost line of a workflow's code in a dump of `faulthandler`, such as "job.py:12 in wait"; empty: there is none."""
    frame = _FRAME_OF_BUNDLE.search(dump)
    return f"{frame[1]}:{frame[2]} in {frame[3]}" if frame else ""
