"""A route that answers requests itself, as it was declared."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.frame import body as bodies
from api.frame.answers import send_error, send_reply, send_response
from api.frame.body import Disconnected, located
from api.frame.declaration import Declaration, Dependency, Parameter, Unusual, declaration_of
from api.frame.paths import Template, segments_of
from api.frame.request import FrameRequest
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
            self.unusual = str(unusual)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """By the raw path, whoever asks: `%2F` is part of an id, also for a route that is left to FastAPI."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = self.template.values(segments_of(scope))
        if path is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": path}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.declaration is not None and scope["method"] in (self.methods or ()):
            await answer(self.declaration, scope["path_params"], scope, receive, send)
        else:
            await super().handle(scope, receive, send)


async def answer(declaration: Declaration, path: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one request; `path` are the path's values, decoded."""
    try:
        await _answer(declaration, path, scope, receive, send)
    except Disconnected:
        return
    except Exception as error:
        if not await send_error(send, error):
            raise


async def _answer(declaration: Declaration, path: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
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
        body = values.get(declaration.body.name) if declaration.body is not None else None
        reply, replayed = await declaration.command.reply(request, declaration.function(**values), body)
        await send_reply(send, reply, replayed=replayed)
        return
    if declaration.request_name is not None:
        values[declaration.request_name] = request
    result = await declaration.function(**values) if declaration.is_coroutine else declaration.function(**values)
    match result:
        case Reply():
            await send_reply(send, result)
        case Response():
            await send_response(send, result)
        case _:
            assert declaration.answer is not None
            await send_reply(send, Reply(declaration.status, declaration.answer.dump_json(result, by_alias=True)))


async def _asked(dependency: Dependency, request: Request, path: Mapping[str, str], found: Mistakes) -> Any:
    """Credentials come first: a value of the path that is no valid one is told only to whoever may call."""
    values: dict[str, Any] = {}
    mistakes: Mistakes = []
    _take_path(dependency.path, path, values, mistakes)
    if mistakes:
        values |= {parameter.name: path[parameter.alias] for parameter in dependency.path}
    if dependency.request_name is not None:
        values[dependency.request_name] = request
    caller = await dependency.call(**values) if dependency.is_coroutine else dependency.call(**values)
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
    for name in given.keys() - parameters.keys():
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
    content = await bodies.read(receive, headers.get("content-length"), body.bytes_max)
    request._body = content  # for whoever asks the request for it, too
    if not content:
        if body.required:
            found.append({**_MISSING, "loc": ("body",)})
        else:
            values[body.name] = body.default
        return
    try:
        values[body.name] = bodies.validated(body.adapter, content, headers.get("content-type"))
    except RequestValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise
        found += error.errors()
