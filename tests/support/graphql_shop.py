"""A GraphQL server: a schema run by the reference implementation, behind the recording target."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from graphql import build_schema, graphql_sync

from tests.support.recording_target import Reaction, SeenRequest

_SCHEMA = build_schema("""
type Item { id: Int! name: String! }
type Order { number: Int! note: String }
type Query { items: [Item!]! status(number: Int!): String }
type Mutation { order(item: Int!, note: String): Order }
""")


class _Root:
    def __init__(self) -> None:
        self._numbers = itertools.count(1000)
        self._ordered: set[int] = set()

    def items(self, _: Any) -> list[dict[str, Any]]:
        return [{"id": number, "name": f"item {number}"} for number in range(3)]

    def order(self, _: Any, item: int, note: str | None = None) -> dict[str, Any]:
        if item < 0:
            raise ValueError("no such item")
        number = next(self._numbers)
        self._ordered.add(number)
        return {"number": number, "note": note}

    def status(self, _: Any, number: int) -> str | None:
        return "ORDERED" if number in self._ordered else None


def graphql_shop() -> Callable[[SeenRequest], Reaction]:
    """What reacts to requests; it keeps orders."""
    root = _Root()

    def react(request: SeenRequest) -> Reaction:
        asked = json.loads(request.body)
        answer = graphql_sync(
            _SCHEMA,
            asked["query"],
            root,
            variable_values=asked.get("variables"),
            operation_name=asked.get("operationName"),
        )
        return Reaction(answer.formatted, 200, {"Content-Type": "application/graphql-response+json"})

    return react
