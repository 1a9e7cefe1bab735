"""The application: FastAPI, with the frame in front of it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.frame.answers import answer_of
from api.frame.dispatch import Dispatch
from api.frame.gathered import Gathered, Take
from api.frame.route import answer
from api.frame.stamp import request_id_of, stamped
from api.served import Served, answered_with, begin

_SEEN_BY_TELEMETRY: Final = ("tracing", "metrics", "logs")


logger = logging.getLogger("tollgate")

_METHODS: Final = ("GET", "POST", "PUT")
"""What web pages of other origins may do. What only operators do (PATCH, DELETE) is not for pages."""

_SENT: Final = ("Authorization", "Content-Type", "Idempotency-Key", "Tollgate-Customer", "X-Request-Id")
_SEEN: Final = ("X-Request-Id", "Location", "Retry-After", "Idempotency-Replayed")


class Service(FastAPI):
    """Requests for routes that the frame answers do not pass through FastAPI's middleware, router and handlers.

    Where middleware was added, or FastAPI's telemetry is on, which are to see each request, all of them pass through FastAPI; its router
    then finds the route, and the route answers in the same way.
    """

    def __init__(self, *, cors_origins: Sequence[str] = (), takers: Sequence[Take] = (), **options: Any) -> None:
        """`cors_origins`: those of web pages whose requests browsers let through; none: nothing stands in front.

        `takers` are handed each request that was answered, many at a time.
        """
        super().__init__(**options, redirect_slashes=False)  # a redirect would lead to whatever the Host header says
        telemetry = options.get("telemetry") or {}
        self._is_observed = any(telemetry.get(kind, True) for kind in _SEEN_BY_TELEMETRY)
        self._dispatch: Dispatch | None = None
        self._pages: Mapping[Any, Route] | None = None
        self.gathered = Gathered(takers)
        self._answering: ASGIApp = self._safely
        if cors_origins:
            self._answering = CORSMiddleware(
                self._safely, allow_origins=cors_origins, allow_methods=_METHODS, allow_headers=_SENT, expose_headers=_SEEN
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._answering(scope, receive, send)
            return
        served = Served(request_id_of(scope).decode("latin-1"), scope["method"])
        begin(served)
        try:
            await self._answering(scope, receive, stamped(scope, send, served))
        finally:
            self._note_route(scope, served)
            served.end()
            self.gathered.add(served)

    def _note_route(self, scope: Scope, served: Served) -> None:
        route = scope.get("route")
        if route is None and "endpoint" in scope:  # a page's, which its router does not name
            if self._pages is None:
                self._pages = {page.endpoint: page for page in self.router.routes if isinstance(page, Route)}
            route = self._pages.get(scope["endpoint"])
        if route is not None:
            served.route, served.operation = route.path, route.name

    async def _safely(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A mistake of ours is answered with the request's id, under which the log has its trace; and the connection ends.

        Where the answer had begun, the server ends the connection, since it is not complete.
        """
        try:
            await self._answer(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            logger.error("A request failed", exc_info=error)
            if not answered_with():
                await answer_of(error).send(send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_observed and not self.user_middleware:
            if self._dispatch is None:  # at the first request, when all routes are declared
                self._dispatch = Dispatch(self.router.routes)
            found = self._dispatch.find(scope)
            if found is not None:
                scope["app"] = self
                await answer(found.route, found.path, scope, receive, send)
                return
        await super().__call__(scope, receive, send)
