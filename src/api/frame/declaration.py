"""What a route declares, read once: the parameters, the body, who may call, and what becomes of the function's result."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from api.frame.body import BODY_BYTES_MAX
from api.frame.commands import Carried, carried

UNLIMITED: Final = ("header_params", "cookie_params")


class Unusual(Exception):
    """The declaration asks for something that the frame does not know; FastAPI's own handler does. The message says what it is."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the path or the query."""

    name: str
    alias: str
    adapter: TypeAdapter[Any]
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Dependency:
    """A function that says who is calling, or refuses: it sees the request's head and the path, never the body."""

    name: str | None
    call: Callable[..., Any]
    request_name: str | None
    path: Sequence[Parameter]
    is_coroutine: bool


@dataclass(frozen=True, slots=True)
class Body:
    """The body's model."""

    name: str
    adapter: TypeAdapter[Any]
    required: bool
    default: Any
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that answering a request takes."""

    function: Callable[..., Any]
    is_coroutine: bool
    request_name: str | None
    dependencies: Sequence[Dependency]
    path: Sequence[Parameter]
    query: Mapping[str, Parameter]
    body: Body | None
    command: Carried | None
    answer: TypeAdapter[Any] | None
    status: int


def declaration_of(route: APIRoute) -> Declaration:
    """Raises Unusual where the route asks for more than the frame gives."""
    dependant = route.dependant
    function = dependant.call
    assert function is not None
    _require_usual(route)
    command = carried(function)
    return Declaration(
        function=command.function if command else function,
        is_coroutine=not command and inspect.iscoroutinefunction(function),
        request_name=None if command else dependant.request_param_name,
        dependencies=[_dependency(item) for item in dependant.dependencies],
        path=[_parameter(field) for field in dependant.path_params],
        query={field.alias: _parameter(field) for field in dependant.query_params},
        body=_body(route),
        command=command,
        answer=route.response_field._type_adapter if route.response_field is not None else None,
        status=route.status_code or 200,
    )


def _require_usual(route: APIRoute) -> None:
    dependant = route.dependant
    unusual = {
        "header parameters": dependant.header_params,
        "cookie parameters": dependant.cookie_params,
        "a response parameter": dependant.response_param_name,
        "background tasks": dependant.background_tasks_param_name,
        "security scopes": dependant.security_scopes_param_name,
        "a connection parameter": dependant.http_connection_param_name or dependant.websocket_param_name,
        "several bodies": len(dependant.body_params) > 1,
        "a streamed answer": route.is_sse_stream or route.is_json_stream,
    }
    for what, found in unusual.items():
        if found:
            raise Unusual(what)


def _dependency(dependant: Dependant) -> Dependency:
    if dependant.dependencies or dependant.query_params or dependant.body_params or dependant.header_params or dependant.cookie_params:
        raise Unusual(f"the dependency {getattr(dependant.call, '__name__', dependant.call)}")
    call = dependant.call
    assert call is not None
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise Unusual("a dependency with an end")
    return Dependency(
        name=dependant.name,
        call=call,
        request_name=dependant.request_param_name,
        path=[_parameter(field) for field in dependant.path_params],
        is_coroutine=inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__),  # a function, or an instance
    )


def _parameter(field: Any) -> Parameter:
    """FastAPI's own field: its validator, with the same conversions and errors."""
    required = field.field_info.is_required()
    return Parameter(field.name, field.alias, field._type_adapter, required, None if required else field.default)


def _body(route: APIRoute) -> Body | None:
    field = route.body_field
    if field is None:
        return None
    if route._embed_body_fields or type(field.field_info).__name__ != "Body":
        raise Unusual("a form, or an embedded body")
    required = field.field_info.is_required()
    name = route.dependant.body_params[0].name
    bytes_max = route.max_body_size if route.max_body_size is not None else BODY_BYTES_MAX
    return Body(name, field._type_adapter, required, None if required else field.default, bytes_max)
