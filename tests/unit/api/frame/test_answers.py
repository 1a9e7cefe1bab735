"""What becomes of what a route's function returns."""

from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from api.frame.service import Service
from api.replies import Reply
from tests.unit.api.frame.declaring import Thing, served
from tests.unit.api.frame.exchange import ask

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


class Renamed(BaseModel):
    kind: str = Field(alias="type")
    model_config = {"populate_by_name": True}


def answers(router: APIRouter) -> None:
    @router.get("/api/v1/reply", response_model=Thing)
    async def reply() -> Reply:
        return Reply.of(Thing(name="x"), 201, location="/things/1")

    @router.delete("/api/v1/nothing", status_code=204)
    async def nothing() -> None:
        done.append("deleted")

    @router.get("/api/v1/wrong")
    async def wrong() -> Thing:
        return {"size": 1}  # type: ignore[return-value]

    @router.get("/api/v1/dictionary")
    async def dictionary() -> Thing:
        return {"name": "x"}  # type: ignore[return-value]

    @router.get("/api/v1/renamed")
    async def renamed() -> Renamed:
        return Renamed(kind="x")

    @router.get("/api/v1/later")
    async def later() -> Response:
        return Response(b"now", background=BackgroundTask(done.append, "later"))

    @router.get("/api/v1/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one "
            yield b"two"

        return StreamingResponse(pieces())


APP = served(answers, Service(telemetry={"tracing": False, "metrics": False, "logs": False}))


async def test_a_reply_is_sent_with_its_status_and_its_location() -> None:
    answered = await ask(APP, "GET", "/api/v1/reply")
    assert (answered.status, answered.header("location"), answered.json) == (201, "/things/1", {"name": "x", "size": None})


async def test_nothing_is_sent_without_a_body() -> None:
    answered = await ask(APP, "DELETE", "/api/v1/nothing")
    assert (answered.status, answered.headers, answered.body) == (204, [(b"content-type", b"application/json")], b"")
    assert done == ["deleted"]


async def test_a_result_is_brought_into_the_form_of_the_model() -> None:
    assert (await ask(APP, "GET", "/api/v1/dictionary")).json == {"name": "x", "size": None}


async def test_a_field_is_called_what_its_alias_says() -> None:
    assert (await ask(APP, "GET", "/api/v1/renamed")).json == {"type": "x"}


async def test_a_result_of_another_form_is_not_sent() -> None:
    assert (await ask(APP, "GET", "/api/v1/wrong")).status == 500


async def test_what_a_response_does_by_itself_is_done() -> None:
    assert (await ask(APP, "GET", "/api/v1/later")).body == b"now"
    assert done == ["later"]
    assert (await ask(APP, "GET", "/api/v1/stream")).body == b"one two"
