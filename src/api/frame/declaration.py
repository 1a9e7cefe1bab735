"""What a route declares, read once: the parameters, the body, who may call, and what becomes of the function's result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from api.frame.body import BODY_BYTES_MAX, STREAMED_BYTES_MAX
from api.frame.commands import Carried, carried
from api.frame.fields import BULK_FIELDS_MAX, FIELDS_MAX
from api.frame.unusual import require_usual


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
    """A coroutine that says who is calling, or refuses: it sees the request's head and the path, never the body."""

    name: str | None
    call: Callable[..., Any]
    request_name: str | None
    path: Sequence[Parameter]


@dataclass(frozen=True, slots=True)
class Body:
    """The body's model."""

    name: str
    adapter: TypeAdapter[Any]
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that answering a request takes."""

    function: Callable[..., Any]
    request_name: str | None
    dependencies: Sequence[Dependency]
    path: Sequence[Parameter]
    query: Mapping[str, Parameter]
    body: Body | None
    body_bytes_max: int
    is_bulk: bool
    """Whether its bodies are so large that many at once would fill the memory."""
    command: Carried | None
    answer: TypeAdapter[Any] | None
    status: int

    @property
    def fields_max(self) -> int:
        """How many fields a body may have."""
        return BULK_FIELDS_MAX if self.is_bulk else FIELDS_MAX


def body_bytes_max(route: APIRoute) -> int:
    """How large a body the route takes."""
    return BODY_BYTES_MAX if route.max_body_size is None else route.max_body_size


def declaration_of(route: APIRoute) -> Declaration:
    """Raises Unusual where the route asks for more than the frame gives."""
    require_usual(route)
    dependant = route.dependant
    function = dependant.call
    assert function is not None
    command = carried(function)
    return Declaration(
        function=function,
        request_name=None if command else dependant.request_param_name,
        dependencies=[_dependency(item) for item in dependant.dependencies],
        path=[_parameter(field) for field in dependant.path_params],
        query={field.alias: _parameter(field) for field in dependant.query_params},
        body=_body(route),
        body_bytes_max=body_bytes_max(route),
        is_bulk=BODY_BYTES_MAX < body_bytes_max(route) < STREAMED_BYTES_MAX,
        command=command,
        answer=route.response_field._type_adapter if route.response_field is not None else None,
        status=route.status_code or 200,
    )


def _dependency(dependant: Dependant) -> Dependency:
    assert dependant.call is not None
    path = [_parameter(field) for field in dependant.path_params]
    return Dependency(name=dependant.name, call=dependant.call, request_name=dependant.request_param_name, path=path)


def _parameter(field: Any) -> Parameter:
    """FastAPI's own field: its validator, with the same conversions and errors."""
    required = field.field_info.is_required()
    return Parameter(field.name, field.alias, field._type_adapter, required, None if required else field.default)


def _body(route: APIRoute) -> Body | None:
    field = route.body_field
    if field is None:
        return None
    required = field.field_info.is_required()
    name = route.dependant.body_params[0].name
    return Body(name, field._type_adapter, required, None if required else field.default)
