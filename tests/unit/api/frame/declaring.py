"""Routes that tests declare, and applications that serve them."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api import errors
from api.frame.route import FrameRoute

Declaring = Callable[[APIRouter], Any]


class Thing(BaseModel):
    name: str
    size: int | None = None


async def caller(request: Request) -> str:
    """For a dependency."""
    return request.headers.get("who", "nobody")


def declared(declare: Declaring) -> FrameRoute:
    """The one route of a router."""
    router = APIRouter(route_class=FrameRoute)
    declare(router)
    (route,) = router.routes
    assert isinstance(route, FrameRoute)
    return route


def served(declare: Declaring, app: FastAPI, route_class: type[APIRoute] = FrameRoute) -> FastAPI:
    """The app, with what is declared and with our errors."""
    router = APIRouter(route_class=route_class)
    declare(router)
    app.router.routes.extend(router.routes)
    errors.install(app)
    return app
