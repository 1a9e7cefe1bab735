"""The application: FastAPI, with the frame in front of it."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.frame.dispatch import Dispatch
from api.frame.route import answer
from api.frame.stamp import stamped

_SEEN_BY_TELEMETRY: Final = ("tracing", "metrics", "logs")


_METHODS: Final = ("GET", "POST", "PUT")
"""What web pages of other origins may do. What only operators do (PATCH, DELETE) is not for pages."""

_SENT: Final = ("Authorization", "Content-Type", "Idempotency-Key", "Tollgate-Customer", "X-Request-Id")
_SEEN: Final = ("X-Request-Id", "Location", "Retry-After", "Idempotency-Replayed")


class Service(FastAPI):
    """Requests for routes that the frame answers do not pass through FastAPI's middleware, router and handlers.

    Where middleware was added, or FastAPI's telemetry is on, which are to see each request, all of them pass through FastAPI; its router
    then finds the route, and the route answers in the same way.
    """

    def __init__(self, *, cors_origins: Sequence[str] = (), **options: Any) -> None:
        """`cors_origins`: those of web pages whose requests browsers let through; none: nothing stands in front."""
        super().__init__(**options, redirect_slashes=False)  # a redirect would lead to whatever the Host header says
        telemetry = options.get("telemetry") or {}
        self._is_observed = any(telemetry.get(kind, True) for kind in _SEEN_BY_TELEMETRY)
        self._dispatch: Dispatch | None = None
        self._answering: ASGIApp = self._answer
        if cors_origins:
            self._answering = CORSMiddleware(
                self._answer, allow_origins=cors_origins, allow_methods=_METHODS, allow_headers=_SENT, expose_headers=_SEEN
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = stamped(scope, send)
        await self._answering(scope, receive, send)

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
