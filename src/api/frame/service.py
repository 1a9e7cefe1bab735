"""The application: FastAPI, with the frame in front of it."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from api.frame.dispatch import Dispatch
from api.frame.route import answer
from api.frame.stamp import stamped

_SEEN_BY_TELEMETRY: Final = ("tracing", "metrics", "logs")


class Service(FastAPI):
    """Requests for routes that the frame answers do not pass through FastAPI's middleware, router and handlers.

    Where middleware was added, or FastAPI's telemetry is on, which are to see each request, all of them pass through FastAPI; its router
    then finds the route, and the route answers in the same way.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, redirect_slashes=False)  # a redirect would lead to whatever the Host header says
        telemetry = options.get("telemetry") or {}
        self._is_observed = any(telemetry.get(kind, True) for kind in _SEEN_BY_TELEMETRY)
        self._dispatch: Dispatch | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = stamped(scope, send)
        if scope["type"] == "http" and not self._is_observed and not self.user_middleware:
            if self._dispatch is None:  # at the first request, when all routes are declared
                self._dispatch = Dispatch(self.router.routes)
            found = self._dispatch.find(scope)
            if found is not None:
                scope["app"] = self
                await answer(found.route, found.path, scope, receive, send)
                return
        await super().__call__(scope, receive, send)
