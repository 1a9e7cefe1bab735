"""One route for each thing that a declaration may ask for and the frame does not know, and what it is called."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Cookie, Depends, Header, Query, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from api.replies import Reply
from tests.unit.api.frame.declaring import Declaring, Thing, caller


def _again(route: Any, **changes: Any) -> APIRoute:
    return type(route)(route.path, route.endpoint, methods=route.methods, response_model=route.response_model, **changes)


def header_parameter(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(who: Annotated[str, Header()]) -> Thing:
        return Thing(name=who)


def cookie_parameter(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(who: Annotated[str, Cookie()] = "nobody") -> Thing:
        return Thing(name=who)


def response_parameter(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(response: Response) -> Thing:
        response.status_code = 202
        return Thing(name="made")


def background_tasks(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(tasks: BackgroundTasks) -> Thing:
        return Thing(name=type(tasks).__name__)


def security_scopes(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(scopes: SecurityScopes) -> Thing:
        return Thing(name=scopes.scope_str)


def connection_parameter(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(connection: HTTPConnection) -> Thing:
        return Thing(name=connection.url.path)


def several_bodies(router: APIRouter) -> None:
    @router.post("/things")
    async def endpoint(one: Thing, other: Thing) -> Thing:
        return other


def embedded_body(router: APIRouter) -> None:
    @router.post("/things")
    async def endpoint(one: Annotated[Thing, Body(embed=True)]) -> Thing:
        return one


def any_content_type(router: APIRouter) -> None:
    @router.post("/things")
    async def endpoint(one: Thing) -> Thing:
        return one

    router.routes[:] = [_again(router.routes[0], strict_content_type=False)]


def streamed_answer(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint() -> AsyncIterator[Thing]:
        yield Thing(name="one")
        yield Thing(name="two")


def blocking_function(router: APIRouter) -> None:
    @router.get("/things")
    def endpoint() -> Thing:
        return Thing(name="made")


def blocking_reply(router: APIRouter) -> None:
    @router.get("/things", response_model=Thing)
    def endpoint() -> Reply:
        return Reply.of(Thing(name="made"), 202, location="/things/1")


def reply_with_a_header_parameter(router: APIRouter) -> None:
    @router.get("/things", response_model=Thing)
    async def endpoint(who: Annotated[str, Header()]) -> Reply:
        return Reply.of(Thing(name=who), 202)


def one_dependency_twice(router: APIRouter) -> None:
    @router.get("/things", dependencies=[Depends(caller)])
    async def endpoint(who: Annotated[str, Depends(caller)]) -> Thing:
        return Thing(name=who)


def dependency_of_a_dependency(router: APIRouter) -> None:
    async def again(who: Annotated[str, Depends(caller)]) -> str:
        return who

    @router.get("/things")
    async def endpoint(who: Annotated[str, Depends(again)]) -> Thing:
        return Thing(name=who)


def dependency_with_a_query(router: APIRouter) -> None:
    async def asked(limit: int = 5) -> int:
        return limit

    @router.get("/things")
    async def endpoint(limit: Annotated[int, Depends(asked)]) -> Thing:
        return Thing(name="limit", size=limit)


def dependency_with_a_body(router: APIRouter) -> None:
    async def sent(thing: Thing) -> Thing:
        return thing

    @router.post("/things")
    async def endpoint(thing: Annotated[Thing, Depends(sent)]) -> Thing:
        return thing


def dependency_with_a_header(router: APIRouter) -> None:
    async def asked(who: Annotated[str, Header()]) -> str:
        return who

    @router.get("/things")
    async def endpoint(who: Annotated[str, Depends(asked)]) -> Thing:
        return Thing(name=who)


def dependency_with_an_end(router: APIRouter) -> None:
    async def opened() -> AsyncIterator[str]:
        yield "open"

    @router.get("/things")
    async def endpoint(who: Annotated[str, Depends(opened)]) -> Thing:
        return Thing(name=who)


def blocking_dependency(router: APIRouter) -> None:
    def asked() -> Iterator[str]:
        yield "open"

    @router.get("/things")
    async def endpoint(who: Annotated[str, Depends(asked)]) -> Thing:
        return Thing(name=who)


def choice_of_fields(router: APIRouter) -> None:
    @router.get("/things", response_model_exclude_none=True)
    async def endpoint() -> Thing:
        return Thing(name="made")


def response_class_for_a_model(router: APIRouter) -> None:
    @router.get("/things", response_class=PlainTextResponse)
    async def endpoint() -> str:
        return "made"


def no_known_answer(router: APIRouter) -> None:
    @router.get("/things", response_model=None)
    async def endpoint() -> dict[str, str]:
        return {"name": "made"}


def several_values(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(name: Annotated[list[str], Query()]) -> Thing:
        return Thing(name=",".join(name))


def model_of_parameters(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(thing: Annotated[Thing, Query()]) -> Thing:
        return thing


def several_names(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(called: Annotated[str, Query(validation_alias="name")]) -> Thing:
        return Thing(name=called)


def default_made_for_each_request(router: APIRouter) -> None:
    @router.get("/things")
    async def endpoint(name: Annotated[str, Query(default_factory=lambda: "made")]) -> Thing:
        return Thing(name=name)


def default_that_can_be_changed(router: APIRouter) -> None:
    @router.post("/things")
    async def endpoint(sizes: Annotated[dict[str, int], Body()] = {}) -> dict[str, int]:  # noqa: B006
        return sizes


def converted_path(router: APIRouter) -> None:
    @router.get("/{name:path}")
    async def endpoint(name: str) -> Thing:
        return Thing(name=name)


def part_of_a_segment(router: APIRouter) -> None:
    @router.get("/thing{name}")
    async def endpoint(name: str) -> Thing:
        return Thing(name=name)


UNUSUAL: dict[Declaring, str] = {
    header_parameter: "header parameters",
    cookie_parameter: "cookie parameters",
    response_parameter: "a response parameter",
    background_tasks: "background tasks",
    security_scopes: "security scopes",
    connection_parameter: "a connection parameter",
    several_bodies: "several bodies",
    embedded_body: "a form, or an embedded body",
    any_content_type: "a body that is read whatever its content type",
    streamed_answer: "a streamed answer",
    blocking_function: "a function that is no coroutine",
    blocking_reply: "a function that is no coroutine",
    reply_with_a_header_parameter: "header parameters",
    one_dependency_twice: "a dependency twice",
    dependency_of_a_dependency: "the dependency again: dependencies of its own",
    dependency_with_a_query: "the dependency asked: query parameters",
    dependency_with_a_body: "the dependency sent: a body",
    dependency_with_a_header: "the dependency asked: header parameters",
    dependency_with_an_end: "the dependency opened: no coroutine",
    blocking_dependency: "the dependency asked: no coroutine",
    choice_of_fields: "a choice of the answer's fields",
    response_class_for_a_model: "a response class, and a model for it",
    no_known_answer: "an answer of no known form",
    several_values: "several values of name",
    model_of_parameters: "a model of parameters, thing",
    several_names: "several names of called",
    default_made_for_each_request: "a default of name that is made for each request",
    default_that_can_be_changed: "a default of sizes that is made for each request",
    converted_path: "a path with more than plain parameters",
    part_of_a_segment: "a path with more than plain parameters",
}
