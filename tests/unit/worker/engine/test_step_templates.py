"""Texts of a step are filled in wherever they stand, and everything else stays as it is."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.step_templates import StepTemplate
from hyperscale.worker.engine.templates import TemplateScope
from hyperscale.workload.template_places import places_of


def scope(**variables: str) -> TemplateScope:
    return TemplateScope(vu=3, next_counter=lambda: 9, variables=variables)


def step(**action: object) -> workflow_pb2.Step:
    return ParseDict({"name": "s", **action}, workflow_pb2.Step())


def filled(message: workflow_pb2.Step, **variables: str) -> dict[str, Any]:
    return MessageToDict(StepTemplate(message).fill(scope(**variables)))


def test_a_step_without_templates_is_the_same_object_every_time() -> None:
    plain = step(websocket={"url": "/{a}", "actions": [{"send_text": "{b"}]})
    template = StepTemplate(plain)
    assert template.fill(scope()) is template.fill(scope()) is plain


def test_each_text_is_escaped_as_its_place_demands_and_the_step_itself_stays() -> None:
    session = {
        "url": "/{{id}}?raw={{id | raw}}",
        "headers": {"X-Id": "{{id}}", "X-Other": "{{vu}}"},
        "subprotocols": ["{{id}}"],
        "actions": [{"send_text": "<{{id}}>"}, {"expect": {"contains": "{{id}}"}}, {"expect": {"matches": "{{id}}"}}],
    }
    message = step(websocket=session)
    before = message.SerializeToString()
    assert filled(message, id="a/b\nc")["websocket"] == {
        "url": "/a%2Fb%0Ac?raw=a/b%0Ac",
        "headers": {"X-Id": "a/b c", "X-Other": "3"},
        "subprotocols": ["{{id}}"],
        "actions": [
            {"sendText": "<a/b\nc>"},
            {"expect": {"contains": "a/b\nc"}},
            {"expect": {"matches": "{{id}}"}},
        ],
    }
    assert message.SerializeToString() == before


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("{{v}}", '7"', '7"'),
        ("{{v | raw}}", "7", 7.0),
        ("{{v | raw}}", '{"a": [1]}', {"a": [1.0]}),
        ("{{v | raw}}", "no json", "no json"),
        ("n{{v | raw}}", "7", "n7"),
    ],
)
def test_texts_in_json_stay_texts_unless_they_are_nothing_but_a_raw_value(
    text: str, value: str, expected: object
) -> None:
    message = step(http={"url": "/", "json": {"deep": [{"x.y": text}], "n": 1}})
    assert filled(message, v=value)["http"]["json"] == {"deep": [{"x.y": expected}], "n": 1.0}


def test_paths_of_places_are_those_of_faults() -> None:
    message = step(graphql={"url": "/u", "headers": {"A": "a"}, "query": "q", "variables": {"v": ["x"]}})
    assert [place.path for place in places_of(message.graphql)] == [
        ".url",
        ".query",
        ".variables.v[0]",
        ".headers['A']",
    ]
    assert [place.path for place in places_of(step(tcp={"actions": [{"send_text": "a"}]}).tcp)] == [
        ".actions[0].send_text"
    ]
