from __future__ import annotations

from tools.dead_code import protocol_names


def test_names_of_the_protocol_are_read_from_its_definitions() -> None:
    fields, rpcs = protocol_names()
    assert {"job_id", "nanos", "string_value"} <= fields
    assert {"SubmitJob", "StreamProgress"} <= rpcs
    assert "syntax" not in fields
