"""Calls that code forgot to await: they do nothing, Python merely warns, and nobody reads the warnings of an engine."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Final, TextIO

_MESSAGE: Final = "coroutine '.*' was never awaited"


class UnawaitedCalls:
    """Tells of each one, with the step that made it, from `watch` to `close`."""

    def __init__(self, steps: Mapping[CodeType, str], tell: Callable[[str, str, int], None]) -> None:
        """`tell` gets the step, the file and the line; the step is the first one when none is under way."""
        self._steps = steps
        self._tell = tell
        self._caught = warnings.catch_warnings()

    def watch(self) -> None:
        """Begin. Other warnings go where they went before."""
        self._caught.__enter__()
        shown = warnings.showwarning
        warnings.filterwarnings("always", message=_MESSAGE, category=RuntimeWarning)

        def show(  # noqa: PLR0917 - as the library calls it
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is RuntimeWarning and "was never awaited" in str(message):
                self._tell(self._step_under_way(), filename, lineno)
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show

    def close(self) -> None:
        """End."""
        self._caught.__exit__(None, None, None)

    def _step_under_way(self) -> str:
        """The warning comes while the code that has dropped the call runs: its step is among its callers."""
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code in self._steps:
                return self._steps[frame.f_code]
            frame = frame.f_back
        return next(iter(self._steps.values()))
