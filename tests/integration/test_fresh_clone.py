"""What is committed stands on its own: a clone sets itself up with Python and make alone."""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FAST_TESTS = "tests/unit/workload/test_histogram.py tests/unit/test_tools.py"


@pytest.mark.requirement("MAIN.2")
@pytest.mark.soak  # CI starts from a clone, too
@pytest.mark.timeout(400)
def test_make_test_sets_itself_up_and_passes(tmp_path: Path) -> None:
    # The tests that are run here are a few of those that surround this one; what is proven is the set-up they stand on.
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", REPOSITORY, clone], check=True, timeout=60)
    bare = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        ["make", "test", f"ARGS={FAST_TESTS}"],
        cwd=clone,
        env=bare,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed in " in done.stdout.strip().splitlines()[-1]
