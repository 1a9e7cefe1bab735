"""A route whose function returns a command: it is carried out, once per idempotency key, and its result is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request

from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.frame.service import Service
from api.replies import Reply
from core.metering.account import CustomerNotFound
from core.metering.idempotency import Once, Replay
from core.metering.use_case import Call
from tests.unit.api.frame.declaring import Thing, served
from tests.unit.api.frame.exchange import Answered, ask


@dataclass(frozen=True, kw_only=True)
class Make:
    customer_id: str
    id: str
    name: str


@dataclass
class Making:
    """A use case that remembers what it was asked, and what it answered under which key."""

    calls: list[Call[Make]] = field(default_factory=list)
    replies: dict[str, bytes] = field(default_factory=dict)

    async def execute(self, calls: Sequence[Call[Make]]) -> Sequence[Any]:
        (call,) = calls
        self.calls.append(call)
        if call.command.customer_id == "unknown":
            return [CustomerNotFound("unknown")]
        if call.once is not None:
            if call.once.key in self.replies:
                return [Replay(self.replies[call.once.key])]
            self.replies[call.once.key] = call.once.encode(call.command)
        return [call.command]


async def customer(request: Request) -> str:
    return request.headers.get("customer", "nobody")


def made(command: Make) -> Reply:
    return Reply.of(Thing(name=f"{command.name} of {command.customer_id}"), 201, location=f"/things/{command.id}")


def making(router: APIRouter) -> None:
    @router.post("/api/v1/things/{id}/make", status_code=201, response_model=Thing)
    @carried_out(by=lambda container: container.making, answered=made)  # type: ignore[attr-defined]
    def make(id: str, customer_id: Annotated[str, Depends(customer)], thing: Thing | None = None) -> Make:
        """Make a thing."""
        return Make(customer_id=customer_id, id=id, name="nothing" if thing is None else thing.name)


@dataclass
class Container:
    making: Making


@pytest.fixture
def use_case() -> Making:
    return Making()


@pytest.fixture(params=["frame", "FastAPI"])
def app(request: pytest.FixtureRequest, use_case: Making) -> FastAPI:
    """Both can run such an endpoint."""
    app = served(making, Service())
    for route in app.routes:
        if isinstance(route, FrameRoute) and request.param == "FastAPI":
            route.leave_to_fastapi("for this test")
    app.state.container = Container(use_case)
    return app


async def post(app: FastAPI, id: str = "1", body: bytes = b'{"name": "x"}', **headers: str) -> Answered:
    return await ask(app, "POST", f"/api/v1/things/{id}/make", body, content_type="application/json", **headers)


async def test_the_command_is_carried_out_and_its_result_answered(app: FastAPI, use_case: Making) -> None:
    answered = await post(app, customer="me")
    assert (answered.status, answered.json["name"]) == (201, "x of me")
    assert answered.headers == [(b"location", b"/things/1"), (b"content-length", b"30"), (b"content-type", b"application/json")]
    assert use_case.calls == [Call(Make(customer_id="me", id="1", name="x"), None)]


async def test_a_refusal_is_told(app: FastAPI) -> None:
    answered = await post(app, customer="unknown")
    assert (answered.status, answered.json["detail"]["error"]) == (404, "customer_not_found")


async def test_a_command_may_do_without_a_body(app: FastAPI, use_case: Making) -> None:
    assert (await post(app, body=b"")).status == 201
    assert use_case.calls[0].command.name == "nothing"


async def test_a_repeat_gets_the_very_same_answer_and_says_so(app: FastAPI) -> None:
    first, second = [await post(app, idempotency_key="k") for _ in range(2)]
    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers == [(b"location", b"/things/1"), (b"idempotency-replayed", b"true"), *first.headers[1:]]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "\x7f"])
async def test_a_key_that_is_none_is_a_mistake(app: FastAPI, use_case: Making, key: str) -> None:
    answered = await post(app, idempotency_key=key)
    assert answered.mistakes == [("value_error", ["header", "Idempotency-Key"])]
    assert use_case.calls == []


async def once_of(app: FastAPI, use_case: Making, **asked: Any) -> Once:
    await post(app, **({"idempotency_key": "k", "customer": "me"} | asked))
    once = use_case.calls[-1].once
    assert once is not None
    return once


async def test_a_key_stands_for_the_route_the_customer_and_the_body(app: FastAPI, use_case: Making) -> None:
    asked: list[dict[str, Any]] = [{}, {"id": "2"}, {"customer": "other"}, {"body": b'{"name": "y"}'}, {"body": b""}]
    fingerprints = [(await once_of(app, use_case, **one)).fingerprint for one in asked]
    assert len(set(fingerprints)) == len(asked)
    assert (await once_of(app, use_case, body=b' { "name" :"x"}')).fingerprint == fingerprints[0]
    assert (await once_of(app, use_case, idempotency_key="other")).fingerprint == fingerprints[0]


@pytest.mark.parametrize("ids", [("a%3Fx", "a%3Fy"), ("a%23x", "a%23y"), ("a%09", "a"), ("a%2Fx", "a%2Fy")], ids=str)
async def test_of_an_id_every_character_belongs_to_what_a_key_stands_for(app: FastAPI, use_case: Making, ids: tuple[str, str]) -> None:
    one, other = [(await once_of(app, use_case, id=id)).fingerprint for id in ids]
    assert one != other


async def test_what_a_key_stands_for_does_not_depend_on_how_the_service_is_called(app: FastAPI, use_case: Making) -> None:
    one, other = [(await once_of(app, use_case, host=host)).fingerprint for host in ("a.example", "b.example/x?y")]
    assert one == other


async def test_what_is_stored_for_a_repeat_is_the_answer(app: FastAPI, use_case: Making) -> None:
    answered = await post(app, idempotency_key="k")
    assert Reply.decoded(use_case.replies["k"]) == Reply(201, answered.body, "/things/1")


def test_the_document_says_what_the_functions_own_signature_says() -> None:
    operation = served(making, Service()).openapi()["paths"]["/api/v1/things/{id}/make"]["post"]
    assert operation["description"] == "Make a thing."
    assert [parameter["name"] for parameter in operation["parameters"]] == ["id"]
    assert operation["requestBody"]["content"].keys() == {"application/json"}


def test_a_command_is_not_made_of_the_request() -> None:
    with pytest.raises(TypeError, match="make makes a command, and may not see the request"):

        @carried_out(by=lambda container: container.making, answered=made)  # type: ignore[attr-defined]
        def make(request: Request) -> Make:
            raise AssertionError("never called")
