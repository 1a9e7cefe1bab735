"""The application: FastAPI, with the frame in front of it."""

from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from api.frame.dispatch import Dispatch
from api.frame.route import answer


class Service(FastAPI):
    """Requests for routes that the frame answers do not pass through FastAPI's middleware, router and handlers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._dispatch: Dispatch | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self._dispatch is None:  # at the first request, when all routes are declared
                self._dispatch = Dispatch(self.router.routes)
            found = self._dispatch.find(scope)
            if found is not None:
                scope["app"] = self
                await answer(found.declaration, found.path, scope, receive, send)
                return
        await super().__call__(scope, receive, send)
