"""No request body may be larger than what any route needs; uploads are streamed and have limits of their own."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
STREAMED: Final = "/api/v1/uploads/"


class BodyLimit:
    """Answers 413 as soon as it is known that a body is too large, whether or not its length was announced.

    FastAPI's own `max_body_size` answers in plain text, and not in the form that all our errors have.
    """

    def __init__(self, app: ASGIApp, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._message = f"A request body has at most {bytes_max:,} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if announced is not None:
            # HTTP itself holds a sender to the length that it announced.
            within = announced.isdigit() and int(announced) <= self._bytes_max
            await (self._app if within else self._refuse)(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._bytes_max:
                # FastAPI answers with 400 whatever else keeps it from reading a body.
                raise HTTPException(413, self._message)
            return message

        await self._app(scope, limited, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"detail": {"error": "request_too_large", "message": self._message}}, 413)(scope, receive, send)
