"""Imports the source of coded workflows. Only for processes that may run it: engines, and the child that describes a job."""

from __future__ import annotations

import importlib
import linecache
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Final

from hyperscale.v1.job_pb2 import SourceBundle
from hyperscale.workload.bundles import DIRECTORY_PREFIX, top_level_names, unpack_bundle

_LANGUAGE: Final = "hyperscale.workload.language."


class UserCodeError(Exception):
    """Code of a user failed; the text begins with file and line."""


class LoadedBundle:
    """A bundle in a directory of its own, imported; `unload` removes every trace of both."""

    def __init__(self, bundle: SourceBundle) -> None:
        """Unpack and import. Raises BundleError, and UserCodeError when the import fails."""
        self._directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX)).resolve()
        self._hidden: dict[str, ModuleType] = {}
        try:
            unpack_bundle(bundle, self._directory)
            self.module = self._import(bundle.module)
        except BaseException:
            self.unload()
            raise

    def explain(self, error: BaseException, code: CodeType | None = None) -> str:
        """What went wrong in the bundle's code, for its author: file, line, kind and message.

        Parameters
        ----------
        code
            Whose fault it is when no line of the bundle led to the error.
        """
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        what = f"{_kind(error)}: {message}" if message else _kind(error)
        place = self._place(error) or (f"{self._relative(code.co_filename)}:{code.co_firstlineno}" if code else "")
        return f"{place}: {what}" if place else what

    def place(self, filename: str, line: int) -> str:
        """A line as its author knows it."""
        return f"{self._relative(filename)}:{line}"

    def place_of(self, coroutine: object) -> str:
        """The innermost line of the bundle in which a coroutine waits; empty when it waits in none."""
        place = ""
        while coroutine is not None:
            frame: FrameType | None = getattr(coroutine, "cr_frame", None)
            if frame is not None and self._has(frame.f_code.co_filename):
                place = self.place(frame.f_code.co_filename, frame.f_lineno)
            coroutine = getattr(coroutine, "cr_await", None)
        return place

    def unload(self) -> None:
        """Forget the modules and remove the files."""
        for name in [name for name in sys.modules if self._is_ours(sys.modules[name])]:
            del sys.modules[name]
        sys.modules.update(self._hidden)
        if str(self._directory) in sys.path:
            sys.path.remove(str(self._directory))
        sys.path_importer_cache.pop(str(self._directory), None)
        linecache.clearcache()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _import(self, module: str) -> ModuleType:
        for name in top_level_names(self._directory) & set(sys.modules):
            self._hidden[name] = sys.modules.pop(name)
        sys.path.insert(0, str(self._directory))
        importlib.invalidate_caches()
        try:
            return importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise UserCodeError(self.explain(error)) from error

    def _is_ours(self, module: ModuleType) -> bool:
        return self._has(getattr(module, "__file__", None) or "")

    def _has(self, filename: str) -> bool:
        return filename.startswith(f"{self._directory}/")

    def _place(self, error: BaseException) -> str:
        """The innermost line of the bundle that led to the error; empty when none did."""
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self._relative(error.filename)}:{error.lineno or 1}"
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if self._has(frame.filename)]
        return f"{self._relative(ours[-1].filename)}:{ours[-1].lineno}" if ours else ""

    def _relative(self, filename: str) -> str:
        return filename.removeprefix(f"{self._directory}/")


def _kind(error: BaseException) -> str:
    """Name of an error as code knows it: an engine's own kind that is one of the language goes by that one."""
    own = type(error)
    return next((kind.__name__ for kind in own.__mro__ if kind.__module__.startswith(_LANGUAGE)), own.__name__)
