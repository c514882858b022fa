import gzip
import json

import pytest
from google.protobuf.json_format import ParseDict

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.inspection import MAX_INSPECTED_BYTES, Findings, compile_inspection, inspects_body
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep

REQUEST = EncodedStep("a", 0, 0, b"", 1.0, range(200, 400), is_head=False, is_usual=False)
PAGE = json.dumps({"token": "t-1", "n": 7, "ok": True, "none": None, "items": [{"id": 3}, {"id": 4}]}).encode()


def findings(body: bytes = PAGE, *fields: tuple[bytes, bytes], status: int = 200, seconds: float = 0.1) -> Findings:
    return Findings(
        Answer(
            request=REQUEST,
            status=status,
            fields=fields,
            body=body,
            started=1.0,
            sent=1.0,
            first_byte=1.0 + seconds,
            ended=1.0 + seconds,
            sent_bytes=len(REQUEST.payload),
            received_bytes=len(body),
        )
    )


def holds(condition: dict[str, object], seen: Findings) -> bool:
    step = workflow_pb2.Step()
    ParseDict({"name": "c", **condition}, step.checks.add())
    return compile_inspection(step).checks[0].holds(seen)


def extracted(source: dict[str, object], seen: Findings) -> str | None:
    step = workflow_pb2.Step()
    ParseDict({"variable": "v", **source}, step.extract.add())
    return compile_inspection(step).extractions[0].find(seen)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"status": {"any_of": [201, 200]}}, True),
        ({"status": {"any_of": [201]}}, False),
        ({"body_contains": '"t-1"'}, True),
        ({"body_contains": "t-2"}, False),
        ({"body_matches": r"t-\d"}, True),
        ({"body_matches": r"^t"}, False),
        ({"json": {"path": "$.items[1].id"}}, True),
        ({"json": {"path": "$.items[2]"}}, False),
        ({"json": {"path": "$.none"}}, True),
        ({"json": {"path": "$.none", "equals": None}}, True),
        ({"json": {"path": "$.n", "equals": 7}}, True),
        ({"json": {"path": "$.n", "equals": "7"}}, False),
        ({"json": {"path": "$.ok", "equals": True}}, True),
        ({"json": {"path": "$.ok", "equals": 1}}, False),
        ({"json": {"path": "$.items[?@.id > 3]", "equals": {"id": 4}}}, True),
        ({"max_duration": "0.2s"}, True),
        ({"max_duration": "0.05s"}, False),
    ],
)
def test_conditions(condition: dict[str, object], expected: bool) -> None:
    assert holds(condition, findings()) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"header": {"name": "X-Mode"}}, True),
        ({"header": {"name": "x-other"}}, False),
        ({"header": {"name": "x-mode", "equals": "b"}}, True),
        ({"header": {"name": "x-mode", "equals": "B"}}, False),
        ({"header": {"name": "x-mode", "matches": "^[ab]$"}}, True),
        ({"header": {"name": "x-mode", "matches": "c"}}, False),
    ],
)
def test_conditions_on_headers(condition: dict[str, object], expected: bool) -> None:
    assert holds(condition, findings(b"", (b"x-mode", b"a"), (b"x-mode", b"b"))) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"json_path": "$.token"}, "t-1"),
        ({"json_path": "$.n"}, "7"),
        ({"json_path": "$.ok"}, "true"),
        ({"json_path": "$.items[0]"}, '{"id":3}'),
        ({"json_path": "$..id"}, "3"),
        ({"json_path": "$.nothing"}, None),
        ({"regex": {"pattern": r"t-(\d)"}}, "1"),
        ({"regex": {"pattern": r"t-(\d)", "group": 0}}, "t-1"),
        ({"regex": {"pattern": r"t-\d"}}, "t-1"),
        ({"regex": {"pattern": r"(x)|t"}}, None),
        ({"regex": {"pattern": "zzz"}}, None),
        ({"header": "Location"}, "/a"),
        ({"header": "ETag"}, None),
        ({"status": True}, "200"),
    ],
)
def test_sources(source: dict[str, object], expected: str | None) -> None:
    assert extracted(source, findings(PAGE, (b"location", b"/a"))) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'"text"', b"\xff"])
def test_a_body_that_is_not_the_expected_json_has_nothing(body: bytes) -> None:
    assert extracted({"json_path": "$.token"}, findings(body)) is None
    assert not holds({"json": {"path": "$.token"}}, findings(body))


def test_a_coded_body_is_decoded() -> None:
    coded = findings(gzip.compress(PAGE), (b"content-encoding", b"gzip"))
    assert extracted({"json_path": "$.token"}, coded) == "t-1"
    broken = findings(b"no gzip", (b"content-encoding", b"gzip"))
    assert extracted({"json_path": "$.token"}, broken) is None


def test_a_bomb_is_not_unpacked_and_a_long_body_is_cut() -> None:
    bomb = findings(gzip.compress(b" " * (4 * MAX_INSPECTED_BYTES)), (b"content-encoding", b"gzip"))
    assert bomb.body == b""
    assert len(findings(b"x" * (2 * MAX_INSPECTED_BYTES)).body) == MAX_INSPECTED_BYTES


def test_no_pattern_takes_for_ever() -> None:
    assert not holds({"body_matches": "(a+)+$"}, findings(b"a" * 1_000_000 + b"b"))


def test_only_who_looks_into_the_body_needs_it() -> None:
    step = workflow_pb2.Step()
    ParseDict({"name": "c", "status": {"any_of": [200]}}, step.checks.add())
    ParseDict({"variable": "v", "header": "ETag"}, step.extract.add())
    assert not inspects_body(step)
    ParseDict({"variable": "w", "json_path": "$"}, step.extract.add())
    assert inspects_body(step)
