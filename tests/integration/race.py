"""Clients that do everything at once to one customer, and keep account of what they were told."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

import httpx

from tests.integration.service import ADMIN_KEY, Service

AUTHORIZATION = {"Authorization": f"Bearer {ADMIN_KEY}"}
LIMIT, SOFT_LIMIT = 60, 5
EVENTS = 400
SHORT_SECONDS, LONG_SECONDS = 1, 600


class Fleet:
    """Server processes on one database, started together, of which one after the other is killed and replaced."""

    def __init__(self, database_url: str, size: int) -> None:
        self._database_url = database_url
        self.services = [Service(database_url).begin() for _ in range(size)]
        self.kills = 0

    def __enter__(self) -> Self:
        try:
            for service in self.services:
                service.until_ready()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            for service in self.services if kind is None else ():
                service.stop()
        finally:
            self._discard()

    @property
    def addresses(self) -> list[str]:
        return [service.address for service in self.services]

    def kill_and_replace(self, index: int) -> None:
        self.services[index].discard()
        self.kills += 1
        replacement = Service(self._database_url).begin()
        try:
            self.services[index] = replacement.until_ready()
        except BaseException:
            replacement.discard()
            raise

    def _discard(self) -> None:
        for service in self.services:
            service.discard()


@dataclass
class Told:
    """What callers know: by reference, what was asked of each feature, and how it ended."""

    booked: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: dict[str, dict[str, int]] = field(default_factory=dict)
    unknown: dict[str, dict[str, int]] = field(default_factory=dict)
    """Asked without a key, and the answer was lost: it may have happened, once."""
    record_ids: set[str] = field(default_factory=set)
    corrections: dict[str, int] = field(default_factory=dict)
    """By the id of the record that was corrected."""
    events: set[int] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    given_back: set[str] = field(default_factory=set)
    """Sessions that have failed."""
    finished: dict[str, str] = field(default_factory=dict)
    """By reservation id, the state that its owner was told last."""
    retries: int = 0
    correctable: list[tuple[str, int]] = field(default_factory=list)


class Client:
    """Repeats what has a key until it is answered, wherever; what has none it sends once."""

    def __init__(self, fleet: Fleet, customer_id: str, told: Told, http: httpx.AsyncClient, choice: random.Random) -> None:
        self._fleet, self._customer_id, self._told, self._http, self._choice = fleet, customer_id, told, http, choice
        self._base = f"/api/v1/customers/{customer_id}"

    async def run(self, goes_on: Callable[[], bool]) -> None:
        actions = [self.consume, self.consume, self.consume_two, self.record, self.reserve, self.reserve, self.correct]
        actions += [self.batch, self.events, self.session, self.failing_session]
        while goes_on():
            await self._choice.choice(actions)()
            await asyncio.sleep(self._choice.uniform(0, 0.01))

    async def consume(self) -> None:
        await self._consume({"calls": self._choice.randint(1, 4)}, keyed=self._choice.random() < 0.8)

    async def consume_two(self) -> None:
        await self._consume({"calls": self._choice.randint(1, 4), "pages": self._choice.randint(1, 9)})

    async def record(self) -> None:
        days_ago = timedelta(days=self._choice.choice([0, 0, 1, 10]))
        occurred_at = datetime.now(UTC) - days_ago  # noqa: TID251 - the services read the same clock
        await self._consume({"pages": self._choice.randint(1, 9)}, mode="record", occurred_at=occurred_at.isoformat())

    async def _consume(self, asked: dict[str, int], *, keyed: bool = True, **rest: object) -> None:
        reference = _new_reference()
        body = {"usage": usage(asked), "reference": reference, **rest}
        answer = await self._post(f"{self._base}/usage", body, reference if keyed else None)
        self._note(reference, asked, answer)

    def _note(self, reference: str, asked: dict[str, int], answer: "Answer | None") -> None:
        match answer:
            case None | Answer(403, _, lost=True):
                self._told.unknown[reference] = asked
            case Answer(200, {"records": records}):
                self._told.booked[reference] = asked
                self._told.record_ids |= {record["id"] for record in records}
                self._told.correctable += [(record["id"], record["quantity"]) for record in records]
            case _:
                assert answer.status == 403, answer
                assert answer.body["detail"]["feature"] == "calls", answer
                self._told.refused[reference] = asked

    async def reserve(self) -> None:
        """And then commit as much or less, release, or forget about it."""
        reference, quantity = _new_reference(), self._choice.randint(1, 5)
        ending = self._choice.choice(["commit", "commit", "release", "forget"])
        seconds = SHORT_SECONDS if ending == "forget" else LONG_SECONDS
        body = {"usage": usage({"calls": quantity}), "ttl_seconds": seconds, "reference": reference}
        answer = await self._post(f"{self._base}/reservations", body, reference)
        if answer and answer.status == 403:
            return
        assert answer, "it has a key"
        assert answer.status == 201, answer
        id = answer.body["id"]
        self._told.finished[id] = "held"
        await asyncio.sleep(self._choice.uniform(0, 0.1))
        if ending == "commit":
            used = self._choice.randint(0, quantity)
            await self._finish(id, "commit", {"usage": usage({"calls": used})}, 200)
            self._told.finished[id] = "committed"
            self._told.booked[reference] = {"calls": used} if used else {}
            await self._finish(id, self._choice.choice(["commit", "release"]), {}, 409)
        elif ending == "release":
            await self._finish(id, "release", {}, 200)
            self._told.finished[id] = "released"
            await self._finish(id, "release", {}, 200)

    async def _finish(self, id: str, how: str, body: dict[str, Any], expected: int) -> None:
        answer = await self._post(f"{self._base}/reservations/{id}/{how}", body, _new_reference())
        assert answer, "it has a key"
        assert answer.status == expected, answer

    async def correct(self) -> None:
        """Gives back what was used, in whichever period, so that there is something left to fight for; and once more at the same time."""
        if not self._told.correctable:
            return
        id, quantity = self._told.correctable.pop(self._choice.randrange(len(self._told.correctable)))
        body = {"quantity": -quantity, "reason": "refund"}
        path = f"{self._base}/usage/records/{id}/corrections"
        answers = await asyncio.gather(*(self._post(path, body, _new_reference()) for _ in range(2)))
        assert sorted(answer.status for answer in answers if answer) == [201, 422], answers
        self._told.corrections[id] = -quantity

    async def batch(self) -> None:
        references = [_new_reference() for _ in range(6)]
        asked = [{self._choice.choice(["calls", "calls", "pages"]): self._choice.randint(1, 4)} for _ in references]
        items = [
            {"customer_id": self._customer_id, "usage": usage(amounts), "reference": reference, "idempotency_key": reference}
            for reference, amounts in zip(references, asked, strict=True)
        ]
        lost = False
        while True:
            answer = await self._post("/api/v1/usage/batch", {"items": items}, "own keys")
            assert answer, "its items have keys"
            assert answer.status == 200, answer
            lost = lost or answer.lost
            results = [Answer(result["status"], result["body"], lost) for result in answer.body["results"]]
            if all(result.status != 503 for result in results):
                break
        for reference, amounts, result in zip(references, asked, results, strict=True):
            self._note(reference, amounts, result)

    async def events(self) -> None:
        """Out of a few, so that others send the same ones."""
        numbers = self._choice.choices(range(EVENTS), k=6)
        events = [
            {
                "specversion": "1.0",
                "id": f"event {number}",
                "source": "race",
                "type": self._choice.choice(["pages", "tokens"]),
                "subject": self._customer_id,
                "data": {"quantity": 1},
            }
            for number in numbers
        ]
        while True:
            answer = await self._post("/api/v1/events", events, "own ids", content_type="application/cloudevents-batch+json")
            assert answer, "events have ids"
            assert answer.status == 200, answer
            if not answer.body["rejected"]:
                break
            assert {item["error"] for item in answer.body["rejected"]} <= {"storage_unavailable", "overloaded"}, answer
        self._told.events |= set(numbers)

    async def session(self) -> str:
        body = {"title": "Race", "language": "en-US", "stt_provider": "auto"}
        answer = await self._post("/api/v1/sessions", body, _new_reference(), customer=self._customer_id)
        assert answer, "it has a key"
        assert answer.status == 201, answer
        id: str = answer.body["id"]
        self._told.sessions.add(id)
        return id

    async def failing_session(self) -> None:
        """Given back by two callers at once."""
        id = await self.session()
        path, body = f"/api/v1/sessions/{id}/fail", {"reason": "silence", "give_back": True}
        answers = await asyncio.gather(*(self._post(path, body, _new_reference(), customer=self._customer_id) for _ in range(2)))
        assert [answer.status for answer in answers if answer] == [200, 200], answers
        self._told.given_back.add(id)

    async def _post(
        self, path: str, body: Any, key: str | None, *, customer: str | None = None, content_type: str = "application/json"
    ) -> "Answer | None":
        """Asks again, of any process, until there is an answer; without a key, only once.

        Some lose patience while the first process is still at work, as clients with a short timeout do.
        """
        headers = AUTHORIZATION | {"Content-Type": content_type}
        headers |= {"Idempotency-Key": key} if key and " " not in key else {}
        headers |= {"Tollgate-Customer": customer} if customer else {}
        lost = False
        while True:
            address = self._choice.choice(self._fleet.addresses)
            patience = self._choice.uniform(0.002, 0.04) if self._choice.random() < 0.2 and "/reservations" not in path else 30
            try:
                answer = await self._http.request("POST", address + path, json=body, headers=headers, timeout=patience)
            except httpx.TransportError:
                lost = True
            else:
                if answer.status_code != 503:
                    return Answer(answer.status_code, answer.json(), lost)
            if key is None:
                return None
            self._told.retries += 1
            await asyncio.sleep(self._choice.uniform(0, 0.05))


@dataclass(frozen=True)
class Answer:
    """`lost`: an earlier one did not arrive, so that a refusal may not be the last word."""

    status: int
    body: Any
    lost: bool = False


def usage(asked: dict[str, int]) -> Sequence[dict[str, Any]]:
    return [{"feature": feature, "quantity": quantity} for feature, quantity in asked.items()]


def _new_reference() -> str:
    return uuid4().hex
