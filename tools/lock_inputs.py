"""Print what our distributions need to build and to run, as input for the lock: the distributions' metadata is the one source."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_PREFIX = "hyperscale-"


def third_party_requirements(root: Path) -> list[str]:
    """Collect the requirements of every distribution below ``libs`` and ``services``, our own left out."""
    requirements: set[str] = set()
    for path in sorted([*root.glob("libs/*/pyproject.toml"), *root.glob("services/*/pyproject.toml")]):
        metadata = tomllib.loads(path.read_text())
        requirements.update(metadata["build-system"]["requires"])
        requirements.update(metadata["project"]["dependencies"])
        for extra in metadata["project"].get("optional-dependencies", {}).values():
            requirements.update(extra)
    return sorted(requirement for requirement in requirements if not requirement.startswith(OWN_PREFIX))


if __name__ == "__main__":
    sys.stdout.write("\n".join(third_party_requirements(ROOT)) + "\n")
