"""Data feeds of coded workflows: declared as attributes of the class, whose rows travel with the job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol, Self, overload

from hyperscale.workload.language.errors import WorkflowDefinitionError

FEED_FILE_ENDINGS: Final = (".csv", ".json")


class FeedMode(Enum):
    """Which row comes next."""

    SEQUENTIAL = "sequential"
    """The next one of this engine process, from the first again after the last."""
    RANDOM = "random"
    """Any one, each as likely as the others."""
    UNIQUE = "unique"
    """One that nobody else gets, in any datacenter; a user for whom there is none left ends."""


class FeedPace(Enum):
    """When a user takes a new row."""

    ITERATION = "iteration"
    """At the start of each iteration."""
    USER = "user"
    """Once: the user keeps its row."""


class RowHolder(Protocol):
    """Somebody who has a row of each feed."""

    def row_of(self, feed: str) -> Mapping[str, str]:
        """The current row of a feed."""
        ...


class Feed:
    """Rows of which each iteration gets one; in an instance of the workflow the attribute is that row.

    Parameters
    ----------
    rows
        Name of a CSV file (its first line names the columns) or of a JSON file (a list of objects with the same keys), seen
        from the file of the workflow; or such objects themselves.
    mode
        Which row comes next.
    pace
        When a user takes a new one.
    recycle
        UNIQUE only: start over when the rows are used up, instead of ending the user.

    Examples
    --------
    ::

        class Shop(Workflow):
            account = Feed("accounts.csv", mode=FeedMode.UNIQUE, pace=FeedPace.USER)

            @step()
            async def login(self) -> None:
                await self.http.post("/login", json={"user": self.account["name"]})
    """

    __slots__ = ("_mode", "_name", "_pace", "_recycle", "_rows")

    def __init__(
        self,
        rows: str | Sequence[Mapping[str, Any]],
        *,
        mode: FeedMode = FeedMode.SEQUENTIAL,
        pace: FeedPace = FeedPace.ITERATION,
        recycle: bool = False,
    ) -> None:
        if isinstance(rows, str) and not rows.endswith(FEED_FILE_ENDINGS):
            raise WorkflowDefinitionError(
                f"the file of a Feed ends in {' or '.join(FEED_FILE_ENDINGS)}, unlike {rows!r}"
            )
        self._name = ""
        self._rows = rows if isinstance(rows, str) else _json_rows(rows)
        self._mode = FeedMode(mode)
        self._pace = FeedPace(pace)
        self._recycle = recycle

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: RowHolder, owner: type) -> Mapping[str, str]: ...

    def __get__(self, instance: RowHolder | None, owner: type) -> Self | Mapping[str, str]:
        """The current row of the user, columns by name; a JSON value that is no text as JSON."""
        return self if instance is None else instance.row_of(self._name)

    def document(self, name: str) -> dict[str, Any]:
        """As a job file has it, except for `file`, whose content is read where the file is.

        Raises WorkflowDefinitionError when the feed has another name already.
        """
        if name != self._name:
            raise WorkflowDefinitionError(f"one Feed cannot be both {self._name!r} and {name!r}; write two")
        rows = {"file" if isinstance(self._rows, str) else "json": self._rows}
        options: dict[str, Any] = {"mode": self._mode.value, "pace": self._pace.value}
        return {"name": name, **rows, **options, **({"recycle": True} if self._recycle else {})}


def feeds_of(workflow_class: type) -> dict[str, Feed]:
    """The feeds of a class by name."""
    attributes: dict[str, Any] = {}
    for base in reversed(workflow_class.__mro__):
        attributes.update(vars(base))
    return {name: entry for name, entry in attributes.items() if isinstance(entry, Feed)}


def _json_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A copy that is JSON for sure."""
    try:
        copy: list[dict[str, Any]] = json.loads(json.dumps(list(map(dict, rows)), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise WorkflowDefinitionError(f"rows of a Feed are a list of mappings with JSON values: {error}") from error
    return copy
