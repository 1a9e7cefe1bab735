"""What a declaration may ask for that the frame does not know. FastAPI's own handler knows it, and answers such routes."""

import inspect
from collections.abc import Hashable, Iterable
from typing import Any

from fastapi._compat import field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel
from starlette.responses import Response

from api.frame.commands import carried
from api.frame.paths import Template
from api.replies import Reply


class Unusual(Exception):
    """The message says what it is."""


def require_usual(route: APIRoute) -> None:
    """Raises Unusual where the route asks for more than the frame gives."""
    dependant, body = route.dependant, route.body_field
    function = dependant.call
    assert function is not None
    _refuse(
        {
            "a path with more than plain parameters": not Template(route.path).is_plain,
            "several bodies": len(dependant.body_params) > 1,
            "a form, or an embedded body": body and (route._embed_body_fields or type(body.field_info).__name__ != "Body"),
            "a body that is read whatever its content type": not _said(route.strict_content_type, True),
            "a streamed answer": route.is_sse_stream or route.is_json_stream,
            "a function that is no coroutine": not (carried(function) or inspect.iscoroutinefunction(function)),
            "a dependency twice": _has_twice(item.call for item in dependant.dependencies),
        }
    )
    _require_usual_answer(route)
    _require_known(dependant)
    for item in dependant.dependencies:
        _require_usual_dependency(item)
    for field in (*dependant.path_params, *dependant.query_params):
        _require_usual_parameter(field)
    if body is not None:
        _require_lasting_default(body)


def _require_usual_answer(route: APIRoute) -> None:
    _refuse(
        {
            "a choice of the answer's fields": route.response_model_include
            or route.response_model_exclude
            or route.response_model_exclude_unset
            or route.response_model_exclude_defaults
            or route.response_model_exclude_none
            or not route.response_model_by_alias,
            "a response class, and a model for it": route.response_field and not isinstance(route.response_class, DefaultPlaceholder),
            "an answer of no known form": not (route.response_field or _is_plain_answer(route)),
        }
    )


def _is_plain_answer(route: APIRoute) -> bool:
    """Whether what the function returns is sent as it is."""
    function = route.dependant.call
    assert function is not None
    returned = inspect.signature(function, eval_str=True).return_annotation
    if isinstance(returned, type) and issubclass(returned, Response | Reply):
        return True
    return carried(function) is not None or (returned is None and not is_body_allowed_for_status_code(route.status_code))


def _require_usual_dependency(dependant: Dependant) -> None:
    call = dependant.call
    name = getattr(call, "__name__", str(call))
    try:
        _refuse(
            {
                "dependencies of its own": dependant.dependencies,
                "query parameters": dependant.query_params,
                "a body": dependant.body_params,
                "a bound of how many run at once": dependant.concurrency,
                "no coroutine": not (inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)),
            }
        )
        _require_known(dependant)
    except Unusual as unusual:
        raise Unusual(f"the dependency {name}: {unusual}") from None


def _require_known(dependant: Dependant) -> None:
    _refuse(
        {
            "header parameters": dependant.header_params,
            "cookie parameters": dependant.cookie_params,
            "a response parameter": dependant.response_param_name,
            "background tasks": dependant.background_tasks_param_name,
            "security scopes": dependant.security_scopes_param_name,
            "a connection parameter": dependant.http_connection_param_name or dependant.websocket_param_name,
        }
    )


def _require_usual_parameter(field: Any) -> None:
    info = field.field_info
    _refuse(
        {
            f"several values of {field.name}": field_annotation_is_sequence(info.annotation),
            f"a model of parameters, {field.name}": isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel),
            f"several names of {field.name}": info.validation_alias not in (None, info.alias),
        }
    )
    _require_lasting_default(field)


def _require_lasting_default(field: Any) -> None:
    info = field.field_info
    changing = info.default_factory is not None or info.validate_default or not isinstance(info.default, Hashable)
    _refuse({f"a default of {field.name} that is made for each request": not info.is_required() and changing})


def _refuse(asked: dict[str, Any]) -> None:
    for what, found in asked.items():
        if found:
            raise Unusual(what)


def _said(setting: Any, default: Any) -> Any:
    """FastAPI wraps what was not said."""
    return setting.value if isinstance(setting, DefaultPlaceholder) else setting


def _has_twice(items: Iterable[Any]) -> bool:
    found = list(items)
    return len({id(item) for item in found}) < len(found)
