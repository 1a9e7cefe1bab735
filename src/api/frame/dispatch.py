"""Finds the route for a request: a look-up in place of a search through all routes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from api.frame.paths import Template, segments_of
from api.frame.route import FrameRoute

T = TypeVar("T")

_TELLING: Final = 3
"""The place in a path, split at its slashes, that tells most routes apart: /api/v1/<this>."""


class Found(NamedTuple):
    """The route that answers, and the values of its path."""

    route: FrameRoute
    path: Mapping[str, str]


class _Candidate(NamedTuple):
    """A route that may be the one; none where it is FastAPI's to answer. `before` were declared earlier, and say themselves if they fit."""

    template: Template
    route: FrameRoute | None
    before: tuple[BaseRoute, ...]


class Dispatch:
    """The routes that the frame answers. Where several fit, it is the first one that was declared, as with FastAPI."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._candidates: dict[tuple[str, int, bytes], list[_Candidate]] = {}
        before: tuple[BaseRoute, ...] = ()
        for route in routes:
            if not isinstance(route, Route) or not _tells(template := Template(route.path)):
                before = (*before, route)
                continue
            answering = route if isinstance(route, FrameRoute) and route.declaration is not None else None
            for method in route.methods or ():
                candidate = _Candidate(template, answering, before)
                key = (method, template.length, _telling(template.segments).encode())
                self._candidates.setdefault(key, []).append(candidate)

    def find(self, scope: Scope) -> Found | None:
        """None where it is for FastAPI to say whether there is a route."""
        segments = segments_of(scope)
        for template, route, before in self._candidates.get((scope["method"], len(segments), _telling(segments)), ()):
            path = template.values(segments)
            if path is not None:
                if route is None or any(other.matches(scope)[0] is Match.FULL for other in before):
                    return None
                return Found(route, path)
        return None


def _telling(segments: Sequence[T]) -> T:
    return segments[_TELLING] if len(segments) > _TELLING else segments[-1]


def _tells(template: Template) -> bool:
    return template.is_plain and not _telling(template.segments).startswith("{")
