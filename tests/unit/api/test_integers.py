"""One rule for whole numbers, on every route: in a body a JSON number without a fraction, in a path or a query digits."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from api.app import create_app
from api.container import Container
from api.settings import Settings
from api.wire import Limit

ROUTES = [
    route for route in create_app(Container(settings=Settings(database_url="postgresql://nowhere"))).routes if isinstance(route, APIRoute)
]
ROUNDED = "_seconds"
"""How long finished work took may have a fraction: what was done is not refused for it."""


def integers(schema: Any, prepared_by: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Each integer of a validator, with the functions that see the value before it does."""
    if isinstance(schema, list | tuple):
        for item in schema:
            yield from integers(item, prepared_by)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "int":
        yield schema, prepared_by
    if schema.get("type") == "function-before":
        prepared_by = (*prepared_by, schema["function"]["function"].__name__)
    for name, item in schema.items():
        if name != "metadata":
            yield from integers(item, prepared_by)


def body_integers() -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
    for route in ROUTES:
        if route.body_field is not None:
            for found, prepared_by in integers(route.body_field._type_adapter.core_schema):
                yield f"{route.methods} {route.path}", found, prepared_by


def test_an_integer_of_a_body_is_strict() -> None:
    found = list(body_integers())
    assert len(found) > 10
    assert [where for where, schema, prepared_by in found if not schema.get("strict") and ROUNDED not in prepared_by] == []


def test_an_integer_of_a_path_or_query_is_digits() -> None:
    found = [
        (f"{route.methods} {route.path} {field.alias}", prepared_by)
        for route in ROUTES
        for field in (*route.dependant.path_params, *route.dependant.query_params)
        for _, prepared_by in integers(field._type_adapter.core_schema)
    ]
    assert len(found) > 5
    assert [where for where, prepared_by in found if "_whole" not in prepared_by] == []


@pytest.mark.parametrize("text", ["60.0", "6_0", " 60", "+60", "6e1", "", "٦٠", "9" * 30])
def test_what_only_looks_like_digits_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Limit).validate_python(text)


def test_digits_are_a_number() -> None:
    assert TypeAdapter(Limit).validate_python("060") == 60
