"""Logs are lines of JSON with the node's facts, also those of libraries."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from hyperscale.runtime.logs import LogFormat, LogLevel, configure_logging, get_logger

FACTS = {"role": "gate", "node_id": "node-1"}


@dataclass(frozen=True, slots=True)
class Settings:
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_holds_event_facts_and_context(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), FACTS)
    get_logger("dispatch").bind(job_id="j1").info("sent", count=3)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "sent",
        "level": "info",
        "logger": "dispatch",
        "job_id": "j1",
        "count": 3,
        **FACTS,
    }


def test_a_logger_made_before_the_configuration_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    logger = get_logger("early")
    configure_logging(Settings(), FACTS)
    logger.info("hello")
    assert [line["logger"] for line in lines(capsys)] == ["early"]


def test_exceptions_are_structured(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), FACTS)
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("x").exception("failed")
    (line,) = lines(capsys)
    assert line["level"] == "error"
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["exc_value"] == "broken"


def test_variables_of_frames_stay_inside(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), FACTS)
    password = "secret-" + "text"
    try:
        raise ValueError(len(password))
    except ValueError:
        get_logger("x").exception("failed")
    assert "secret-text" not in capsys.readouterr().err


def test_levels_below_the_configured_one_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level=LogLevel.WARNING), FACTS)
    get_logger("x").info("no")
    get_logger("x").warning("yes")
    logging.getLogger("library").info("no")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


def test_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), FACTS)
    logging.getLogger("grpc._cython").warning("ping %s", "late")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["role"]) == ("ping late", "warning", "gate")
    assert line["logger"] == "grpc._cython"


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format=LogFormat.CONSOLE), FACTS)
    get_logger("x").info("hello there")
    assert "hello there" in capsys.readouterr().err


def test_a_line_survives_what_json_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), FACTS)
    get_logger("x").info("odd", value=object(), data=b"\xff")
    assert lines(capsys)[0]["value"].startswith("<object")
