"""Finds the route for a request: a look-up in place of a search through all routes."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from starlette.routing import BaseRoute
from starlette.types import Scope

from api.frame.declaration import Declaration
from api.frame.paths import Template, segments_of
from api.frame.route import FrameRoute

_TELLING: Final = 3
"""The place in a path, split at its slashes, that tells most routes apart: /api/v1/<this>."""


class Found(NamedTuple):
    """What the route declares, and the values of its path."""

    declaration: Declaration
    path: Mapping[str, str]


class Dispatch:
    """The routes that the frame answers. Where several fit, it is the first one that was declared, as with FastAPI."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._candidates: dict[tuple[str, int, bytes], list[tuple[Template, Declaration]]] = {}
        for route in routes:
            if isinstance(route, FrameRoute) and route.declaration is not None and route.template.length > _TELLING:
                for method in route.methods or ():
                    key = (method, route.template.length, route.template.segments[_TELLING].encode())
                    self._candidates.setdefault(key, []).append((route.template, route.declaration))

    def find(self, scope: Scope) -> Found | None:
        """None where no route fits."""
        segments = segments_of(scope)
        if len(segments) <= _TELLING:
            return None
        for template, declaration in self._candidates.get((scope["method"], len(segments), segments[_TELLING]), ()):
            path = template.values(segments)
            if path is not None:
                return Found(declaration, path)
        return None
