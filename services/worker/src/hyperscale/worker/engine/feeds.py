"""Rows of data feeds, as the users of one engine take them."""

from __future__ import annotations

import random
from collections.abc import Iterator, MutableMapping
from itertools import count
from typing import Final

from hyperscale.v1 import script_pb2, workflow_pb2
from hyperscale.worker.engine.templates import FeedRow
from hyperscale.workload.feeds import read_feed
from hyperscale.workload.shares import WHOLE_SIZE, LoadPart


class FeedCursor:
    """Where the users of this engine are in a feed."""

    def __init__(self, feed: script_pb2.DataFeed, part: LoadPart) -> None:
        """`part`: which rows of a UNIQUE feed are ours. Raises FeedError, which validation has told of before."""
        table = read_feed(feed)
        self.name: Final = feed.name
        self.is_kept: Final = feed.pace == script_pb2.FEED_PACE_USER
        """Whether a user takes one row and keeps it."""
        self._rows: Final = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        self._indices = _INDICES.get(feed.mode, _sequential)(len(self._rows), part, feed.recycle)

    def take(self) -> FeedRow | None:
        """The next row; None when those that are ours are used up."""
        index = next(self._indices, None)
        return None if index is None else self._rows[index]


class RunFeeds:
    """The feeds of a run, from which its users take their rows."""

    def __init__(self, workflow: workflow_pb2.Workflow) -> None:
        """Raises FeedError, which validation has told of before."""
        part = LoadPart.of(workflow.data_share if workflow.HasField("data_share") else None)
        self._cursors = tuple(FeedCursor(feed, part) for feed in workflow.feeds)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._cursors)

    def deal(self, rows: MutableMapping[str, FeedRow]) -> bool:
        """Give a user its rows by feed for its next iteration; False when there is none left of one of them."""
        for cursor in self._cursors:
            if cursor.is_kept and cursor.name in rows:
                continue
            row = cursor.take()
            if row is None:
                return False
            rows[cursor.name] = row
        return True


def _sequential(rows: int, part: LoadPart, _: bool) -> Iterator[int]:
    """One after the other, from where our part of the whole begins: so engines do not all begin with the same row."""
    first = part.start * rows // WHOLE_SIZE
    return (number % rows for number in count(first))


def _random(rows: int, _: LoadPart, __: bool) -> Iterator[int]:
    return iter(lambda: random.randrange(rows), -1)


def _unique(rows: int, part: LoadPart, recycle: bool) -> Iterator[int]:
    while True:
        index = -1
        for index in part.items(rows):
            yield index - 1
        if not recycle or index < 0:
            return


_INDICES: Final = {script_pb2.FEED_MODE_RANDOM: _random, script_pb2.FEED_MODE_UNIQUE: _unique}
