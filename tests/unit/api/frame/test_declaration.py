"""What a route declares is read once."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import PlainTextResponse

from api.frame.body import BODY_BYTES_MAX
from api.frame.declaration import Declaration
from api.replies import Reply
from tests.unit.api.frame.declaring import Declaring, Thing, caller, declared


async def named(id: Annotated[str, Path(max_length=5)]) -> str:
    return id


def read(declare: Declaring) -> Declaration:
    route = declared(declare)
    assert route.unusual is None
    assert route.declaration is not None
    return route.declaration


def test_parameters_are_read_with_their_names_their_defaults_and_whether_they_have_to_be_there() -> None:
    def declare(router: APIRouter) -> None:
        @router.get("/{id}", response_model=Thing)
        async def endpoint(
            id: str, at_least: Annotated[int, Query(alias="min")], limit: Annotated[int, Query(le=9)] = 5, name: str | None = None
        ) -> Response:
            return Response()

    declaration = read(declare)
    assert [(item.name, item.alias, item.required) for item in declaration.path] == [("id", "id", True)]
    assert {alias: (item.name, item.required, item.default) for alias, item in declaration.query.items()} == {
        "min": ("at_least", True, None),
        "limit": ("limit", False, 5),
        "name": ("name", False, None),
    }


def test_who_may_call_is_read_in_the_order_of_its_declaration() -> None:
    def declare(router: APIRouter) -> None:
        @router.get("/{id}", dependencies=[Depends(caller)], response_model=Thing)
        async def endpoint(id: str, who: Annotated[str, Depends(named)]) -> Response:
            return Response()

    first, second = read(declare).dependencies
    assert (first.name, first.call, first.request_name, list(first.path)) == (None, caller, "request", [])
    assert (second.name, second.call, second.request_name, [item.name for item in second.path]) == ("who", named, None, ["id"])


def test_a_body_is_read_with_its_bound() -> None:
    def declare(router: APIRouter) -> None:
        @router.post("/", max_body_size=10, status_code=201)
        async def endpoint(thing: Thing | None = None) -> Thing:
            return thing or Thing(name="none")

    declaration = read(declare)
    assert declaration.body is not None
    assert (declaration.body.name, declaration.body.required, declaration.body.default) == ("thing", False, None)
    assert (declaration.body_bytes_max, declaration.status) == (10, 201)


def test_a_route_that_says_nothing_takes_sixty_four_kibibytes() -> None:
    def declare(router: APIRouter) -> None:
        @router.post("/")
        async def endpoint(thing: Thing) -> Thing:
            return thing

    declaration = read(declare)
    assert declaration.body is not None
    assert declaration.body.required
    assert declaration.body_bytes_max == BODY_BYTES_MAX == 65_536


USUAL: dict[str, Declaring] = {
    "a model": lambda router: router.get("/")(_returning(Thing)),
    "a dictionary": lambda router: router.get("/")(_returning(dict[str, int])),
    "a reply": lambda router: router.get("/", response_model=Thing)(_returning(Reply)),
    "a response": lambda router: router.get("/")(_returning(Response)),
    "a kind of response": lambda router: router.get("/")(_returning(PlainTextResponse)),
    "nothing": lambda router: router.delete("/", status_code=204)(_returning(None)),
}


def _returning(form: Any) -> Callable[[], Any]:
    async def endpoint() -> Any:
        raise AssertionError("never called")

    endpoint.__annotations__["return"] = form
    return endpoint


@pytest.mark.parametrize("form", USUAL)
def test_an_answer_may_be(form: str) -> None:
    assert declared(USUAL[form]).unusual is None
