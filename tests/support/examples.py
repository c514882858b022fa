"""The examples, as they are or pointed at servers of a test."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
DATACENTERS = (("us-east", "dc-1"), ("eu-west", "dc-2"))
"""Names in examples, and those that `cluster up` gives."""


def example(name: str, directory: Path, *replacements: tuple[str, str]) -> Path:
    """A copy of an example for a cluster that is up, with more replacements of text."""
    content = (EXAMPLES / name).read_text()
    for old, new in (*DATACENTERS, *replacements):
        content = content.replace(old, new)
    copy = directory / name
    copy.write_text(content)
    return copy
