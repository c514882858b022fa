from __future__ import annotations

import pytest

from tests.support.tools import REQUIRE_TOOLS_VARIABLE, require_tool


def test_a_program_on_path_is_found() -> None:
    assert require_tool("sh").endswith("/sh")


def test_a_missing_program_skips_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_TOOLS_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="MISSING TOOL no-such-program"):
        require_tool("no-such-program")


def test_a_missing_program_fails_where_tools_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_TOOLS_VARIABLE, "1")
    with pytest.raises(pytest.fail.Exception, match="MISSING TOOL no-such-program"):
        require_tool("no-such-program")
