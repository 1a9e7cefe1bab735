"""What a caller gets when something fails in passing, and what has been booked then."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from dependency_injector import providers
from pydantic import SecretStr

from api.app import create_app
from api.container import Container, closed
from api.settings import Settings
from core.conversations.record_message import RecordMessage, RecordMessageCommand
from core.errors import BrokenCommand, ConcurrentUpdate, DomainError, StorageUnavailable
from core.metering.account import CustomerNotFound
from core.metering.ingest_events import IngestEventCommand
from infrastructure.batching.group_commit import GroupCommit
from tests.integration.in_process import engine_on

KEY = "tg_test"
EVENTS = "application/cloudevents-batch+json"


class AwayAtFirst:
    """An ingestion whose database is away the first time."""

    def __init__(self) -> None:
        self.calls = 0

    async def execute(self, commands: Sequence[IngestEventCommand]) -> Sequence[bool | DomainError]:
        self.calls += 1
        return [StorageUnavailable() if self.calls == 1 else True for _ in commands]


class Always:
    """A use case with these outcomes, whatever it is asked."""

    def __init__(self, *outcomes: bool | DomainError) -> None:
        self._outcomes = outcomes

    async def execute(self, commands: Sequence[object]) -> Sequence[bool | DomainError]:
        return self._outcomes


class Forgetful(RecordMessage):
    """Does not look whether a message is known."""

    transactions = 0

    async def load(self, commands: Sequence[RecordMessageCommand], uow: Any) -> None:
        self.transactions += 1
        await super().load(commands, uow)
        uow.messages.get = lambda key: None


@asynccontextmanager
async def client_of(container: Container) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(container))
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1", headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
async def container(database_url: str) -> AsyncIterator[Container]:
    made = Container(settings=Settings(database_url=database_url, admin_key=SecretStr(KEY)))
    yield made
    await closed(made)


async def disconnect_everyone(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_reads_recover_by_themselves_when_the_database_has_dropped_its_connections(database_url: str) -> None:
    async with engine_on(database_url) as engine:
        customer = await engine.customer(calls=3)
        assert (await engine.balance(customer, "calls")).used == 0
        await disconnect_everyone(database_url)

        assert (await engine.balance(customer, "calls")).used == 0


async def test_an_outage_is_no_answer_to_events_that_a_repeat_would_get(container: Container) -> None:
    container.ingest_events.override(providers.Object(AwayAtFirst()))
    event = {"specversion": "1.0", "id": "1", "source": "here", "type": "sessions", "subject": "acme"}
    headers = {"Content-Type": EVENTS, "Idempotency-Key": "delivery-1"}

    async with client_of(container) as client:
        first = await client.post("/events", content=json.dumps([event]), headers=headers)
        again = await client.post("/events", content=json.dumps([event]), headers=headers)
        repeated = await client.post("/events", content=json.dumps([event]), headers=headers)

    assert (first.status_code, first.json()["detail"]["error"]) == (503, "storage_unavailable")
    assert again.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert (repeated.json(), repeated.headers["Idempotency-Replayed"]) == (again.json(), "true")


async def test_a_broken_event_is_rejected_and_none_of_its_neighbours_business(container: Container) -> None:
    container.ingest_events.override(providers.Object(Always(True, BrokenCommand())))
    events = [{"specversion": "1.0", "id": id, "source": "here", "type": "sessions", "subject": "acme"} for id in "ab"]

    async with client_of(container) as client:
        answer = await client.post("/events", content=json.dumps(events), headers={"Content-Type": EVENTS})

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert [(item["index"], item["id"], item["error"]) for item in answer.json()["rejected"]] == [(1, "b", "internal_error")]


async def test_an_outage_is_the_answer_to_a_batch_as_a_whole_and_to_an_item_beside_others(container: Container) -> None:
    item = {"customer_id": "acme", "usage": [{"feature": "calls", "quantity": 1}]}
    async with client_of(container) as client:
        container.consume_usage.override(providers.Object(Always(StorageUnavailable(), StorageUnavailable())))
        away = await client.post("/usage/batch", json={"items": [item, item]})
        container.consume_usage.override(providers.Object(Always(CustomerNotFound("acme"), StorageUnavailable())))
        partly = await client.post("/usage/batch", json={"items": [item, item]})

    assert (away.status_code, away.json()["detail"]["error"], away.headers["Retry-After"]) == (503, "storage_unavailable", "2")
    assert (partly.status_code, [result["status"] for result in partly.json()["results"]]) == (200, [404, 503])


async def test_a_key_stands_for_one_route(database_url: str, container: Container) -> None:
    async with engine_on(database_url) as engine, client_of(container) as client:
        acme = await engine.customer(calls=None)
        body = json.dumps({"items": [{"customer_id": acme, "usage": [{"feature": "calls", "quantity": 1}]}]})
        headers = {"Idempotency-Key": "key-1"}

        booked = await client.post("/usage/batch", content=body, headers=headers | {"Content-Type": "application/json"})
        other = await client.post("/events", content=body, headers=headers | {"Content-Type": "application/cloudevents+json"})

    assert booked.status_code == 200
    assert (other.status_code, other.json()["detail"]["error"]) == (422, "idempotency_key_reused")


async def test_events_that_cannot_be_read_are_told_where(container: Container) -> None:
    async with client_of(container) as client:
        answer = await client.post("/events", content=r'[{"id": "a"}, {"id": "\ud8zz"}]', headers={"Content-Type": EVENTS})

    assert (answer.status_code, answer.json()["detail"]["error"]) == (400, "bad_request")
    assert "invalid escape" in answer.json()["detail"]["message"]
    assert "line 1 column" in answer.json()["detail"]["message"]


async def test_a_batch_under_a_key_of_another_batch_books_nothing(database_url: str, container: Container) -> None:
    async with engine_on(database_url) as engine, client_of(container) as client:
        first, second = await engine.customer(calls=None), await engine.customer(calls=None)
        headers = {"Idempotency-Key": "batch-1"}
        items = [{"customer_id": first, "usage": [{"feature": "calls", "quantity": 1}]}]
        others = [{"customer_id": second, "usage": [{"feature": "calls", "quantity": 1}]}]

        assert (await client.post("/usage/batch", json={"items": items}, headers=headers)).status_code == 200
        refused = await client.post("/usage/batch", json={"items": others}, headers=headers)

        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "idempotency_key_reused")
        assert [(await engine.balance(id, "calls")).used for id in (first, second)] == [1, 0]


async def test_a_race_that_is_lost_for_good_is_told_as_overload(container: Container) -> None:
    class Loses:
        async def execute(self, *arguments: object) -> object:
            raise ConcurrentUpdate

    container.change_customer.override(providers.Object(Loses()))
    async with client_of(container) as client:
        answer = await client.patch("/customers/acme", json={"time_zone": "UTC"})

    assert (answer.status_code, answer.json()["detail"]["error"], answer.headers["Retry-After"]) == (503, "overloaded", "1")


async def test_a_mistake_of_ours_is_told_as_one_at_once_and_logged(
    database_url: str, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine_on(database_url, now=None) as engine:
        acme = await engine.customer(conversations=None)
    forgetful = Forgetful(container.unit_of_work, container.clock(), container.new_id(), container.phone_numbers())
    container.record_message.override(providers.Object(GroupCommit(forgetful)))
    message = {"direction": "inbound", "counterparty": "+14155552671", "message_id": "m1"}

    headers = {"Tollgate-Customer": acme}
    async with client_of(container) as client:
        assert (await client.post("/messages", json=message, headers=headers)).status_code == 201
        forgetful.transactions = 0
        answer = await client.post("/messages", json=message, headers=headers)

    assert (answer.status_code, answer.json()["detail"]["error"]) == (500, "internal_error")
    assert forgetful.transactions == 1
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [asyncpg.UniqueViolationError]
