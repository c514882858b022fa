import pytest

from hyperscale.workload.templates import (
    ColumnUse,
    FunctionCall,
    QuotedText,
    Slot,
    TemplateFunction,
    TemplateSyntaxError,
    VariableUse,
    has_template,
    parse_template,
    slots_of,
    without_slots,
)


def test_text_around_slots_stays_as_it_is() -> None:
    assert parse_template("/items/{{id}}?page={{ n }}.") == [
        "/items/",
        Slot(VariableUse("id"), is_raw=False),
        "?page=",
        Slot(VariableUse("n"), is_raw=False),
        ".",
    ]


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("{{token}}", VariableUse("token")),
        ("{{ users.name }}", ColumnUse("users", "name")),
        ("{{uuid}}", FunctionCall(TemplateFunction.UUID)),
        ("{{uuid()}}", FunctionCall(TemplateFunction.UUID)),
        ("{{random_int(-3, 12)}}", FunctionCall(TemplateFunction.RANDOM_INT, ("-3", "12"))),
        (
            "{{random_choice(red, 'light blue', \"a, b)\")}}",
            FunctionCall(TemplateFunction.RANDOM_CHOICE, ("red", "light blue", "a, b)")),
        ),
        ("{{'{{'}}", QuotedText("{{")),
        ('{{"}}"}}', QuotedText("}}")),
        ("{{''}}", QuotedText("")),
    ],
)
def test_what_a_slot_can_hold(text: str, expression: object) -> None:
    assert [slot.expression for slot in slots_of(text)] == [expression]


def test_raw_is_not_part_of_the_name() -> None:
    assert slots_of("{{path | raw}}{{path|raw}}") == [Slot(VariableUse("path"), is_raw=True)] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/{{id", "not closed"),
        ("{{id}", "not closed"),
        ("{{}}", "must have a variable"),
        ("{{a b}}", "must have a variable"),
        ("{{a | upper}}", "must have a variable"),
        ("{{9lives}}", "must have a variable"),
        ("{{env(HOME)}}", "no function 'env'"),
        ("{{vu(1)}}", "takes no arguments"),
        ("{{random_int(1)}}", "two whole numbers"),
        ("{{random_int(6, 1)}}", "smaller number first"),
        ("{{random_int(1, 99999999999999999999)}}", "two whole numbers"),
        ("{{random_choice()}}", "1 to 100 texts"),
        ("{{random_choice(a,)}}", "commas between"),
        ("{{random_choice(a b)}}", "commas between"),
    ],
)
def test_a_template_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=reason):
        parse_template(text)


def test_single_braces_are_text() -> None:
    assert not has_template('{"a": {"b": 1}}')
    assert parse_template('{"a": 1}') == ['{"a": 1}']


def test_the_rest_of_a_text_can_be_judged_without_its_slots() -> None:
    assert without_slots("/a/{{ random_choice('x y') }}/b") == "/a/x/b"
