"""From a URL to a coordinator."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hyperscale.runtime.coordination.interface import Coordinator
from hyperscale.runtime.coordination.memory import MemoryStore, memory_coordinator
from hyperscale.runtime.coordination.sqlite import sqlite_coordinator
from hyperscale.runtime.errors import ConfigurationError, FieldViolation


def open_coordinator(url: str) -> Coordinator:
    """Open ``sqlite:///absolute/path.db``, or ``memory://`` for a store that nobody else sees.

    Raises `ConfigurationError` for any other URL and `CoordinationUnavailableError` if the store cannot be opened.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory" and not parts.netloc and not parts.path:
        return memory_coordinator(MemoryStore(time.time))
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return sqlite_coordinator(Path(unquote(parts.path)))
    fault = f"{url!r} is neither sqlite:///absolute/path.db nor memory://"
    raise ConfigurationError([FieldViolation("coordination_url", fault)])
