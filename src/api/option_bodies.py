"""The options that products declare, as bodies of requests: each has its form and its place in the OpenAPI document."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import Field, create_model

from api.wire import Wire
from core.plans.options import Choice, Option, Part, Switch, WholeNumber

WireT = TypeVar("WireT", bound=Wire)


def with_options(options: Iterable[type[Option]]) -> Callable[[type[WireT]], type[WireT]]:
    """For a body that takes each of these options under its name, or null."""

    def extended(body: type[WireT]) -> type[WireT]:
        fields: dict[str, Any] = {
            option.name: (_body_of(option) | None, Field(None, description=f"for {_named(option)} only; null: {option.absent}"))
            for option in options
        }
        return create_model(body.__name__, __base__=body, __doc__=body.__doc__, __module__=body.__module__, **fields)

    return extended


def options_in(body: Wire, options: Iterable[type[Option]]) -> tuple[Option, ...]:
    """Those that the body has."""
    given = ((option, getattr(body, option.name)) for option in options)
    return tuple(option.from_json(dict(part)) for option, part in given if part is not None)


def _body_of(option: type[Option]) -> type[Wire]:
    fields: dict[str, Any] = {part.name: _field(part) for part in option.parts}
    return create_model(f"{option.__name__}Body", __base__=Wire, __doc__=option.meaning, __module__=__name__, **fields)


def _field(part: Part) -> tuple[Any, Any]:
    match part:
        case WholeNumber():
            bounds = Field(part.default, ge=part.smallest, le=part.largest, strict=True, description=part.meaning)
            return (int | None if part.nullable else int), bounds
        case Switch():
            return bool, Field(part.default, strict=True, description=part.meaning)
        case Choice():
            return part.words, Field(part.default, description=part.meaning)


def _named(option: type[Option]) -> str:
    return ", ".join(f"`{feature}`" for feature in option.features)
