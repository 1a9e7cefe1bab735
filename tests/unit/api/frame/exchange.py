"""A request and its answer, as a server and an application hand them to each other."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive


@dataclass
class Answered:
    """What was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name.encode(), b"").decode("latin-1") or None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def mistakes(self) -> list[tuple[str, list[Any]]]:
        """Kind and place of each."""
        return [(item["type"], item["loc"]) for item in self.json["detail"]]


STAMPED = {b"x-request-id", b"x-content-type-options", b"cache-control"}
"""What every answer carries, and no two the same: looked at in test_stamp.py, and left out everywhere else."""


@dataclass
class Exchange:
    """One request. `chunks` is its body, as it comes; where it `breaks`, the caller goes away after them."""

    method: str = "GET"
    target: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] = (b"",)
    breaks: bool = False
    root_path: str = ""
    received: int = 0
    """How many chunks were asked for."""
    sent: list[Message] = field(default_factory=list)

    @property
    def scope(self) -> dict[str, Any]:
        path, _, query = self.target.partition("?")
        raw = (self.root_path + path).encode("latin-1")
        return {
            "type": "http",
            "method": self.method,
            "path": unquote(raw.decode("latin-1")),
            "raw_path": raw,
            "root_path": self.root_path,
            "query_string": query.encode("latin-1"),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()],
            "scheme": "http",
            "server": ("service", 80),
            "http_version": "1.1",
        }

    def receive(self) -> Receive:
        chunks = list(self.chunks)

        async def receive() -> Message:
            self.received += 1
            if not chunks and self.breaks:
                return {"type": "http.disconnect"}
            if not chunks:
                await asyncio.Event().wait()  # the caller waits for its answer, and sends nothing more
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks) or self.breaks}

        return receive

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, app: ASGIApp) -> Answered:
        await app(self.scope, self.receive(), self.send)
        return self.answered

    @property
    def answered(self) -> Answered:
        start, *bodies = self.sent
        assert start["type"] == "http.response.start"
        assert {message["type"] for message in bodies} == {"http.response.body"}
        assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
        own = [header for header in start["headers"] if header[0] not in STAMPED]
        return Answered(start["status"], own, b"".join(message["body"] for message in bodies))


async def ask(app: ASGIApp, method: str, target: str, body: bytes | Iterable[bytes] = b"", **headers: str) -> Answered:
    """The answer to a request; in header names, an underscore is a hyphen."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    return await Exchange(method, target, {name.replace("_", "-"): value for name, value in headers.items()}, chunks).run(app)
