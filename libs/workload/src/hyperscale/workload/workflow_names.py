"""What the names of workflows tell: load apart from what is done once for it."""

from __future__ import annotations

from typing import Final

SETUP_SUFFIX: Final = ".setup"
TEARDOWN_SUFFIX: Final = ".teardown"


def is_load(workflow_name: str) -> bool:
    """Whether a workflow of this name makes load, and is no setup or teardown."""
    return not workflow_name.endswith((SETUP_SUFFIX, TEARDOWN_SUFFIX))
