"""Every example is run: here, with the command that it names, unless a test of its own beside this one does."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.local_cluster import hyperscale

DIRECTORY = Path(__file__).parents[3] / "examples"
EXAMPLES = sorted(path for path in DIRECTORY.iterdir() if path.suffix in {".yaml", ".json", ".py"})
OTHER_TESTS = "".join(
    path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_examples.py"
)
WITHOUT_TEST_OF_THEIR_OWN = [path for path in EXAMPLES if f'"{path.name}"' not in OTHER_TESTS]
OWN_TARGET = re.compile(r"^\s*target(: |=\")http", re.MULTILINE)
COMMAND = re.compile(r"^[# ]*hyperscale (run examples/.+)$", re.MULTILINE)


def commands(example: Path) -> list[str]:
    return COMMAND.findall(example.read_text())


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path.suffix != ".json"], ids=lambda path: path.name)
def test_an_example_says_how_it_is_run(example: Path) -> None:
    (command,) = commands(example)
    words = shlex.split(command)
    assert words[1] == f"examples/{example.name}"
    names_target = OWN_TARGET.search(example.read_text()) is not None
    assert names_target == ("--target" in words), "who needs a target of their own must be told to name it"
    if "bundled://" not in example.read_text():
        assert example not in WITHOUT_TEST_OF_THEIR_OWN, "needs a test that has a server for it"


@pytest.mark.parametrize("example", WITHOUT_TEST_OF_THEIR_OWN, ids=lambda path: path.name)
def test_an_example_passes_as_it_says(example: Path) -> None:
    (command,) = commands(example)
    run, file, *options = shlex.split(command)
    outcome = hyperscale(run, str(DIRECTORY.parent / file), *options, "--json")
    assert outcome.code == 0, outcome
    assert outcome.last_json["verdict"] == "passed"
    assert outcome.last_json["errors"] == {}
