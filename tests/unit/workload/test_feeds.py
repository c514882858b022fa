import pytest
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import script_pb2
from hyperscale.workload.feeds import FeedError, read_feed


def feed(**fields: object) -> script_pb2.DataFeed:
    return ParseDict({"name": "users", **fields}, script_pb2.DataFeed())


def test_csv_keeps_what_quotes_hold_together() -> None:
    table = read_feed(feed(csv='name,note\nalice,"a, b"\n\n"bo""b","two\nlines"\n'))
    assert table.columns == ("name", "note")
    assert table.rows == (("alice", "a, b"), ('bo"b', "two\nlines"))


def test_json_values_that_are_no_texts_are_written_as_json() -> None:
    table = read_feed(feed(json=[{"id": 7, "tags": ["a"], "name": "x"}, {"id": 1.5, "tags": None, "name": "é"}]))
    assert table.columns == ("id", "name", "tags")
    assert table.rows == (("7", "x", '["a"]'), ("1.5", "é", "null"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "needs rows"),
        ({"csv": ""}, "first line"),
        ({"csv": "name\n"}, "no rows"),
        ({"csv": "name,id\nalice\n"}, "line 2 has 1 values for 2 columns"),
        ({"csv": "name,name\na,b\n"}, "'name' is there twice"),
        ({"csv": "first name\na\n"}, "column 'first name'"),
        ({"csv": 'name\n"a\n'}, "is not CSV"),
        ({"json": []}, "no rows"),
        ({"json": {"id": 1}}, "a list of objects"),
        ({"json": [{"id": 1}, {"nr": 2}]}, r"\[1\] must have the keys of the first row"),
        ({"csv": "n\n" + "1\n" * 100_001}, "at most 100,000 rows"),
    ],
)
def test_rows_that_cannot_be_used_say_why(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(FeedError, match=reason):
        read_feed(feed(**fields))
