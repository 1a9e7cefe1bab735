"""Options in the body of a request: whichever are declared, described and checked by their parts."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.option_bodies import options_in, with_options
from api.wire import Wire
from core.conversations.window import Window
from core.plans.options import Option
from tests.unit.fakes.retention import Retention, Where


@with_options([Window, Retention])
class Body(Wire):
    """A body."""

    limit: int


def read(**fields: Any) -> tuple[Option, ...]:
    return options_in(Body.model_validate({"limit": 1} | fields), [Window, Retention])


def test_the_options_of_a_body_are_read_in_the_order_in_which_they_are_declared() -> None:
    assert read(retention={"days": 90, "where": "cold"}, window={"messages_max": 3}) == (
        Window(messages_max=3),
        Retention(90, Where.COLD),
    )


@pytest.mark.parametrize("fields", [{}, {"retention": None}])
def test_an_option_that_is_absent_or_null_is_none(fields: dict[str, Any]) -> None:
    assert read(**fields) == ()


@pytest.mark.parametrize(
    ("option", "written", "location"),
    [
        ("retention", {"days": 0}, ("retention", "days")),
        ("retention", {"days": 91}, ("retention", "days")),
        ("retention", {"days": "7"}, ("retention", "days")),
        ("retention", {"days": None}, ("retention", "days")),
        ("retention", {"where": "hot"}, ("retention", "where")),
        ("retention", {"day": 7}, ("retention", "day")),
        ("retention", 7, ("retention",)),
        ("window", {"messages_max": "7"}, ("window", "messages_max")),
        ("window", {"messages_max": 0}, ("window", "messages_max")),
        ("window", {"extending": 1}, ("window", "extending")),
    ],
)
def test_what_is_no_such_option_is_refused_where_it_is(option: str, written: object, location: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(**{option: written})
    assert [mistake["loc"] for mistake in refusal.value.errors()] == [location]


def test_the_schema_describes_each_option_and_each_of_its_parts() -> None:
    schema = Body.model_json_schema()
    assert (schema["title"], schema["description"]) == ("Body", "A body.")
    assert schema["properties"]["retention"]["description"] == "for `storage`, `backups` only; null: 30 days"
    retention = schema["$defs"]["RetentionBody"]
    assert (retention["description"], retention["additionalProperties"]) == ("How long things are kept.", False)
    days = retention["properties"]["days"]
    assert (days["type"], days["default"], days["minimum"], days["maximum"], days["description"]) == ("integer", 30, 1, 90, "how long")
    assert retention["properties"]["where"]["default"] == "warm"
    assert schema["$defs"]["Where"]["enum"] == ["warm", "cold"]
