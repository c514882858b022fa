"""Rows of a data feed as the job brings them along."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Final

from google.protobuf.json_format import MessageToDict

from hyperscale.v1 import script_pb2
from hyperscale.workload.json_values import json_text, with_whole_numbers
from hyperscale.workload.templates import IDENTIFIER, IDENTIFIER_RULE

MAX_ROWS: Final = 100_000
MAX_COLUMNS: Final = 100


class FeedError(ValueError):
    """Rows that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class FeedTable:
    """The rows of a feed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Values in the order of the columns."""


def read_feed(feed: script_pb2.DataFeed) -> FeedTable:
    """The rows of a feed. Raises FeedError."""
    match feed.WhichOneof("rows"):
        case "csv":
            table = _from_csv(feed.csv)
        case "json":
            table = _from_json(feed)
        case None:
            raise FeedError("needs rows: csv or json")
    if not table.rows:
        raise FeedError("has no rows")
    if len(table.rows) > MAX_ROWS:
        raise FeedError(f"at most {MAX_ROWS:,} rows are allowed, not {len(table.rows):,}")
    return table


def _from_csv(text: str) -> FeedTable:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        # An empty line is no row, as everywhere.
        lines += ((reader.line_num, line) for line in reader if line)
    except csv.Error as error:
        raise FeedError(f"line {reader.line_num} is not CSV: {error}") from error
    if not lines:
        raise FeedError("must have a first line that names the columns")
    columns = _columns([name.strip() for name in lines[0][1]])
    for number, line in lines[1:]:
        if len(line) != len(columns):
            raise FeedError(f"line {number} has {len(line)} values for {len(columns)} columns")
    return FeedTable(columns, tuple(tuple(line) for _, line in lines[1:]))


def _from_json(feed: script_pb2.DataFeed) -> FeedTable:
    content = with_whole_numbers(MessageToDict(feed.json))
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise FeedError("must be a list of objects")
    if not content:
        return FeedTable((), ())
    columns = _columns(sorted(content[0]))
    for index, row in enumerate(content):
        if row.keys() != set(columns):
            raise FeedError(f"[{index}] must have the keys of the first row: {', '.join(columns)}")
    return FeedTable(columns, tuple(tuple(json_text(row[column]) for column in columns) for row in content))


def _columns(names: list[str]) -> tuple[str, ...]:
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise FeedError(f"must have 1 to {MAX_COLUMNS} columns, not {len(names)}")
    for index, name in enumerate(names):
        if not IDENTIFIER.fullmatch(name):
            raise FeedError(f"column {name[:80]!r}: {IDENTIFIER_RULE}")
        if name in names[:index]:
            raise FeedError(f"column {name!r} is there twice")
    return tuple(names)
