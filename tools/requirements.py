"""The table of numbered requirements in docs/requirements.md."""

from __future__ import annotations

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "docs" / "requirements.md"
_ROW = re.compile(r"^\| (?P<id>[A-Z]+(?:-\d+)?\.\d+) \| (?P<text>.+) \|$")


def read_requirements(path: Path = REQUIREMENTS) -> dict[str, str]:
    """Return what each requirement asks by its id, in the order of the table."""
    rows = [match for line in path.read_text(encoding="utf-8").splitlines() if (match := _ROW.match(line))]
    return {row["id"]: row["text"] for row in rows}
