import pytest
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import script_pb2
from hyperscale.worker.engine.feeds import FeedCursor
from hyperscale.workload.shares import WHOLE

ROWS = 200


def cursor(part: object = WHOLE, **fields: object) -> FeedCursor:
    csv = "id\n" + "".join(f"{number}\n" for number in range(ROWS))
    assert isinstance(part, type(WHOLE))
    return FeedCursor(ParseDict({"name": "rows", "csv": csv, **fields}, script_pb2.DataFeed()), part)


def taken(rows: FeedCursor, most: int) -> list[int]:
    found = [row for _ in range(most) if (row := rows.take()) is not None]
    return [int(row["id"]) for row in found]


def test_sequential_rows_come_in_order_and_start_over() -> None:
    assert taken(cursor(), ROWS + 2) == [*range(ROWS), 0, 1]


def test_engines_begin_at_different_rows() -> None:
    assert [taken(cursor(part), 1) for part in WHOLE.divide([1, 1])] == [[0], [ROWS // 2]]


def test_random_rows_are_all_of_them() -> None:
    assert set(taken(cursor(mode="FEED_MODE_RANDOM"), ROWS * 20)) == set(range(ROWS))


@pytest.mark.parametrize("weights", [[1], [1, 1], [3, 2, 0, 7], [1] * 50])
def test_unique_rows_are_divided_without_rest_and_without_overlap(weights: list[int]) -> None:
    parts = [taken(cursor(part, mode="FEED_MODE_UNIQUE"), 2 * ROWS) for part in WHOLE.divide(weights)]
    assert sorted(row for part in parts for row in part) == list(range(ROWS))


def test_recycled_rows_stay_in_their_part() -> None:
    first, second = WHOLE.divide([1, 1])
    ours = taken(cursor(first, mode="FEED_MODE_UNIQUE"), ROWS)
    again = taken(cursor(first, mode="FEED_MODE_UNIQUE", recycle=True), 2 * len(ours))
    assert again == ours * 2
    assert set(ours).isdisjoint(taken(cursor(second, mode="FEED_MODE_UNIQUE", recycle=True), ROWS))


def test_a_part_without_rows_has_none_also_when_they_are_recycled() -> None:
    nothing = WHOLE.divide([1, 0])[1]
    assert cursor(nothing, mode="FEED_MODE_UNIQUE", recycle=True).take() is None
