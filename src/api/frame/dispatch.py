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
    """A route that may be the one; none where it is FastAPI's to answer. `before` are others that may fit as well, and come first."""

    template: Template
    route: FrameRoute | None
    before: Sequence[BaseRoute]


class Dispatch:
    """The routes that the frame answers. Where several fit, it is the first one that was declared, as with FastAPI."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._candidates: dict[tuple[str, int, bytes | None], list[_Candidate]] = {}
        others: list[BaseRoute] = []
        open_ones: list[tuple[Template, BaseRoute]] = []
        for route in routes:
            if not isinstance(route, Route) or not (template := Template(route.path)).is_plain:
                others.append(route)  # a mounted app, a path that only FastAPI can read: it says itself what fits
                continue
            telling = _key_of(template)
            before = [*others, *(other for known, other in open_ones if telling is not None and known.overlaps(template))]
            if telling is None:
                open_ones.append((template, route))
            answering = route if isinstance(route, FrameRoute) and route.declaration is not None else None
            for method in route.methods or ():
                self._candidates.setdefault((method, template.length, telling), []).append(_Candidate(template, answering, before))

    def find(self, scope: Scope) -> Found | None:
        """None where it is for FastAPI to say whether there is a route."""
        segments, method = segments_of(scope), scope["method"]
        length = len(segments)
        for telling in (_telling(segments), None):
            for template, route, before in self._candidates.get((method, length, telling), ()):
                path = template.values(segments)
                if path is not None:
                    if route is None or any(other.matches(scope)[0] is Match.FULL for other in before):
                        return None
                    return Found(route, path)
        return None


def _telling(segments: Sequence[T]) -> T:
    return segments[_TELLING] if len(segments) > _TELLING else segments[-1]


def _key_of(template: Template) -> bytes | None:
    """None where a parameter stands in the place that tells most routes apart."""
    telling = _telling(template.segments)
    return None if telling.startswith("{") else telling.encode()
