"""A route that answers requests itself, as it was declared."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.errors import is_expected
from api.frame import body as bodies
from api.frame.answers import Answer, answer_of, answer_with, answer_without_body, responding
from api.frame.body import bounded, located
from api.frame.declaration import Declaration, Dependency, Parameter, body_bytes_max, declaration_of
from api.frame.fields import require_few_fields
from api.frame.paths import Template, segments_of
from api.frame.request import FrameRequest
from api.frame.unusual import Unusual
from api.replies import Reply

_MISSING = {"type": "missing", "msg": "Field required"}

Mistakes = list[dict[str, Any]]


class FrameRoute(APIRoute):
    """FastAPI's route, which answers by itself what it can; `unusual` is why it is left to FastAPI's own handler, where it is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unusual: str | None = None
        self.declaration: Declaration | None = None
        self.template = Template(self.path)
        try:
            self.declaration = declaration_of(self)
        except Unusual as unusual:
            self.leave_to_fastapi(str(unusual))

    def leave_to_fastapi(self, why: str) -> None:
        """FastAPI's own handler answers from now on."""
        self.unusual, self.declaration = why, None
        self.dependant.call = responding(self.endpoint)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """By the raw path, whoever asks: `%2F` is part of an id, also for a route that is left to FastAPI."""
        if not self.template.is_plain:
            return super().matches(scope)
        path = self.template.values(segments_of(scope)) if scope["type"] == "http" else None
        if path is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": path, "route": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.declaration is not None and scope["method"] in (self.methods or ()):
            await answer(self, scope["path_params"], scope, receive, send)
        else:
            announced = FrameRequest(scope).headers.get("content-length")
            await super().handle(scope, bounded(receive, announced, body_bytes_max(self)), send)


async def answer(route: FrameRoute, path: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one request; `path` are the path's values, decoded."""
    declaration = route.declaration
    assert declaration is not None
    scope["route"], scope["endpoint"], scope["path_params"] = route, route.endpoint, path
    if not declaration.is_bulk:
        await _answered(declaration, path, scope, receive, send)
        return
    with scope["app"].state.bulk_allowance.lease() as lease:
        counting = lease.counting(receive, FrameRequest(scope).headers.get("content-length"))
        await _answered(declaration, path, scope, counting, send)


async def _answered(declaration: Declaration, path: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
    try:
        found = await _carried_out(declaration, path, scope, receive)
    except ClientDisconnect:
        return  # nobody waits for an answer
    except Exception as error:
        await answer_of(error).send(send)
        if is_expected(error):
            return
        raise
    if isinstance(found, Response):
        await found(scope, receive, send)
    else:
        await found.send(send)


async def _carried_out(declaration: Declaration, path: Mapping[str, str], scope: Scope, receive: Receive) -> Answer | Response:
    request = FrameRequest(scope, receive)
    values: dict[str, Any] = {}
    found: Mistakes = []
    for dependency in declaration.dependencies:
        caller = await _asked(dependency, request, path, found)
        if dependency.name is not None:
            values[dependency.name] = caller
    _take_path(declaration.path, path, values, found)
    if declaration.query or scope["query_string"]:
        _take_query(declaration.query, scope["query_string"], values, found)
    if declaration.body is not None:
        await _take_body(declaration, request, receive, values, found)
    if found:
        raise RequestValidationError(found)
    if declaration.command is not None:
        reply, replayed = await declaration.command.reply(request, values)
        return answer_with(reply, replayed=replayed)
    if declaration.request_name is not None:
        if declaration.body is None:
            request = FrameRequest(scope, bounded(receive, request.headers.get("content-length"), declaration.body_bytes_max))
        values[declaration.request_name] = request
    return _answer(declaration, await declaration.function(**values))


def _answer(declaration: Declaration, result: Any) -> Answer | Response:
    match result:
        case Response():
            return result
        case Reply():
            return answer_with(result)
    if declaration.answer is None:
        return answer_without_body(declaration.status)
    # As FastAPI does it: a result of another form is a mistake on our side, and is not sent.
    answered = declaration.answer.validate_python(result, from_attributes=True)
    return answer_with(Reply(declaration.status, declaration.answer.dump_json(answered, by_alias=True)))


async def _asked(dependency: Dependency, request: Request, path: Mapping[str, str], found: Mistakes) -> Any:
    """Credentials come first: a value of the path that is no valid one is told only to whoever may call."""
    values: dict[str, Any] = {}
    mistakes: Mistakes = []
    _take_path(dependency.path, path, values, mistakes)
    if mistakes:
        values |= {parameter.name: path[parameter.alias] for parameter in dependency.path}
    if dependency.request_name is not None:
        values[dependency.request_name] = request
    caller = await dependency.call(**values)
    found += mistakes
    return caller


def _take_path(parameters: Sequence[Parameter], path: Mapping[str, str], values: dict[str, Any], found: Mistakes) -> None:
    for parameter in parameters:
        _take(parameter, path[parameter.alias], "path", values, found)


def _take_query(parameters: Mapping[str, Parameter], query_string: bytes, values: dict[str, Any], found: Mistakes) -> None:
    given = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for alias, parameter in parameters.items():
        if alias in given:
            _take(parameter, given[alias], "query", values, found)
        elif parameter.required:
            found.append({**_MISSING, "loc": ("query", alias)})
        else:
            values[parameter.name] = parameter.default
    for name in given:
        if name not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            found.append({"type": "extra_forbidden", "loc": ("query", name), "msg": f"Unknown query parameter; known here: {known}"})


def _take(parameter: Parameter, text: str, where: str, values: dict[str, Any], found: Mistakes) -> None:
    try:
        values[parameter.name] = parameter.adapter.validate_python(text, from_attributes=True)
    except ValidationError as error:
        found += located(error, (where, parameter.alias))


async def _take_body(declaration: Declaration, request: Request, receive: Receive, values: dict[str, Any], found: Mistakes) -> None:
    body = declaration.body
    assert body is not None
    headers = request.headers
    content = await bodies.read(receive, headers.get("content-length"), declaration.body_bytes_max)
    request._body = content  # for whoever asks the request for it, too
    if not content:
        if body.required:
            found.append({**_MISSING, "loc": ("body",)})
        else:
            values[body.name] = body.default
        return
    bodies.require_plain(content, headers.get("content-encoding"))
    require_few_fields(content, declaration.fields_max)
    try:
        values[body.name] = bodies.validated(body.adapter, content, headers.get("content-type"))
    except ValidationError as error:
        found += located(error, ("body",))
