"""The look-up finds the route that a search through all routes, in their order, would have found."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import assume, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route

from api.frame.dispatch import Dispatch
from api.frame.route import FrameRoute
from tests.unit.api.frame.exchange import Exchange

SEGMENTS = ("a", "b", "{}")
METHODS = ("GET", "POST")

templates = st.lists(st.sampled_from(SEGMENTS), max_size=4).map(
    lambda parts: "/" + "/".join(part.replace("{}", f"{{x{place}}}") for place, part in enumerate(parts))
)
targets = st.lists(st.sampled_from(("a", "b", "c", "%61", "a%2Fb", "", "%ff")), max_size=4).map(lambda parts: "/" + "/".join(parts))
kinds = st.sampled_from(("frame", "left to FastAPI", "plain", "mounted"))
declared = st.lists(st.tuples(kinds, st.sampled_from(METHODS), templates), max_size=8)


async def endpoint() -> Response:
    """Whatever it does, it is not called here."""
    return Response()


def made(kind: str, method: str, path: str) -> BaseRoute:
    match kind:
        case "mounted":
            return Mount(path.partition("{")[0].rstrip("/"), Starlette())
        case "plain":
            return Route(path, endpoint, methods=[method])
    route = FrameRoute(path, endpoint, methods=[method])
    if kind == "left to FastAPI":
        route.leave_to_fastapi("for this test")
    return route


def searched(routes: list[BaseRoute], scope: dict[str, Any]) -> tuple[FrameRoute, Any] | None:
    for route in routes:
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            return (route, child_scope["path_params"]) if isinstance(route, FrameRoute) and route.declaration else None
    return None


@given(declared, st.sampled_from(METHODS), targets)
def test_what_is_found_is_what_a_search_finds(declarations: list[tuple[str, str, str]], method: str, target: str) -> None:
    assume("%2F" not in target or all(kind != "plain" for kind, _, _ in declarations))  # to which it is a slash like any other
    routes = [made(*declaration) for declaration in declarations]
    scope = Exchange(method, target).scope
    found = Dispatch(routes).find(scope)
    if found is not None:  # or else FastAPI's router searches; where that is never needed is tested below
        assert (found.route, found.path) == searched(routes, scope)


@pytest.mark.parametrize(
    "path", ["/api/v1/things", "/api/v1/things/{id}", "/api/v1/things/{id}/parts", "/api/v1/{id}", "/{id}", "/health", "/"]
)
def test_a_frame_route_is_found_without_a_search(path: str) -> None:
    route = FrameRoute(path, endpoint, methods=["GET"])
    found = Dispatch([route]).find(Exchange("GET", path.replace("{id}", "7")).scope)
    assert found is not None
    assert (found.route, found.path) == (route, {"id": "7"} if "{" in path else {})


@pytest.mark.parametrize("paths", [("/api/v1/things/{id}", "/api/v1/things/special"), ("/api/v1/things/special", "/api/v1/things/{id}")])
def test_the_first_declared_route_that_fits_is_found(paths: tuple[str, str]) -> None:
    first, second = (FrameRoute(path, endpoint, methods=["GET"]) for path in paths)
    found = Dispatch([first, second]).find(Exchange("GET", "/api/v1/things/special").scope)
    assert found is not None
    assert found.route is first


def test_a_route_is_not_overtaken_by_one_that_is_quicker_to_look_up() -> None:
    anything, things = (FrameRoute(path, endpoint, methods=["GET"]) for path in ("/api/v1/{kind}", "/api/v1/things"))
    assert Dispatch([anything, things]).find(Exchange("GET", "/api/v1/things").scope) is None  # FastAPI's router finds the first
    found = Dispatch([things, anything]).find(Exchange("GET", "/api/v1/things").scope)
    assert found is not None
    assert found.route is things


def test_routes_that_cannot_fit_the_same_path_are_not_asked() -> None:
    class Untouchable(FrameRoute):
        def matches(self, scope: Any) -> Any:
            raise AssertionError

    before = [Untouchable(path, endpoint, methods=["GET"]) for path in ("/bench/v1/{id}", "/api/v1/{id}/parts", "/{id}")]
    assert Dispatch([*before, FrameRoute("/api/v1/things", endpoint, methods=["GET"])]).find(Exchange("GET", "/api/v1/things").scope)


def test_a_route_that_is_left_to_fastapi_is_not_overtaken_by_a_later_one() -> None:
    special, other = (FrameRoute(path, endpoint, methods=["GET"]) for path in ("/api/v1/things/special", "/api/v1/things/{id}"))
    special.leave_to_fastapi("for this test")
    dispatch = Dispatch([special, other])
    assert dispatch.find(Exchange("GET", "/api/v1/things/special").scope) is None
    assert dispatch.find(Exchange("GET", "/api/v1/things/7").scope) is not None


def test_the_routes_of_an_app_that_are_not_the_frames_are_fastapis_to_find() -> None:
    app, router = FastAPI(), APIRouter(route_class=FrameRoute)
    router.get("/api/v1/things")(endpoint)
    app.router.routes.extend(router.routes)
    dispatch = Dispatch(app.router.routes)
    assert dispatch.find(Exchange("GET", "/docs").scope) is None
    assert dispatch.find(Exchange("GET", "/api/v1/things").scope) is not None
    assert dispatch.find(Exchange("PATCH", "/api/v1/things").scope) is None
