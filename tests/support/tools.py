"""External programs a test needs: nginx, wrk, grpcurl."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE_TOOLS_VARIABLE = "HYPERSCALE_REQUIRE_TOOLS"
"""Set to 1 by .ci/run, where a missing program is a failure instead of a skip."""

_INSTALL_HINTS = {
    "grpcurl": "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest",
    "nginx": "apt-get install nginx-light",
    "wrk": "apt-get install wrk",
}
_FURTHER_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", os.path.expanduser("~/go/bin"))


def require_tool(name: str) -> str:
    """Return the path of a program, or skip the test (fail it under .ci/run) with one line that says what is missing."""
    search_path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_FURTHER_DIRECTORIES])
    found = shutil.which(name, path=search_path)
    if found is not None:
        return found
    hint = _INSTALL_HINTS.get(name)
    message = f"MISSING TOOL {name}: not on PATH" + (f" ({hint})" if hint else "")
    if os.environ.get(REQUIRE_TOOLS_VARIABLE) == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
