"""A restaurant that exchanges messages with its guests, by the calls that it makes."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx

from tests.integration.service import ADMIN_KEY, Service, new_id

GUEST = "+14155552671"


def guest(number: int) -> str:
    return f"+1415555{number:04d}"


@dataclass(frozen=True)
class Restaurant:
    """A customer at one service."""

    id: str
    service: Service
    reset: str = "month"

    @classmethod
    def new(
        cls, service: Service, limit: int | None = 3, window: dict[str, object] | None = None, reset: str = "month", **fields: object
    ) -> "Restaurant":
        """On a plan of its own, with so many conversations a month."""
        restaurant = cls(new_id("restaurant"), service, reset)
        restaurant.publishes(limit, window)
        response = service.admin.put(f"/api/v1/customers/{restaurant.id}", json={"plan": restaurant.id, "phone_region": "US"} | fields)
        assert response.status_code == 201, response.text
        return restaurant

    def publishes(self, limit: int | None, window: dict[str, object] | None) -> httpx.Response:
        conversations = {"type": "metered", "limit": limit, "reset": self.reset} | ({"window": window} if window else {})
        response = self.service.admin.put(
            f"/api/v1/plans/{self.id}", json={"name": "Own", "entitlements": {"conversations": conversations}}
        )
        assert response.status_code in (200, 201), response.text
        return response

    def moves_to(self, limit: int | None, window: dict[str, object] | None) -> None:
        """A new version of its plan, and onto it."""
        self.publishes(limit, window)
        response = self.service.admin.patch(f"/api/v1/customers/{self.id}", json={"plan": self.id})
        assert response.status_code == 200, response.text

    def at(self, service: Service) -> "Restaurant":
        """The same restaurant, calling another service."""
        return Restaurant(self.id, service, self.reset)

    @cached_property
    def client(self) -> httpx.Client:
        """With the restaurant's own token."""
        return self.service.user(self.id)

    @cached_property
    def backend(self) -> httpx.Client:
        """With a service key, as whoever reports messages."""
        return self.service.key(ADMIN_KEY, self.id)

    def send(
        self,
        direction: str = "inbound",
        counterparty: str = GUEST,
        message_id: str | None = None,
        sent_at: datetime | None = None,
        key: str | None = None,
        **fields: object,
    ) -> httpx.Response:
        body = {"direction": direction, "counterparty": counterparty, "message_id": message_id or new_id("m")} | fields
        if sent_at is not None:
            body["sent_at"] = sent_at.isoformat()
        return self.backend.post("/api/v1/messages", json=body, headers={"Idempotency-Key": key} if key else {})

    def sent(self, *arguments: Any, **fields: Any) -> dict[str, Any]:
        response = self.send(*arguments, **fields)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def conversations(self, query: str = "limit=200") -> list[dict[str, Any]]:
        response = self.client.get(f"/api/v1/conversations?{query}")
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def records(self, conversation_id: str | None = None) -> list[dict[str, Any]]:
        """The ledger's entries in the order in which they were booked; those of one conversation."""
        response = self.service.admin.get(f"/api/v1/customers/{self.id}/usage/records?limit=200")
        assert response.status_code == 200, response.text
        mine = [item for item in response.json()["items"] if conversation_id in (None, item["reference"])]
        return sorted(mine, key=lambda item: str(item["id"]))

    def gives_back(self, conversation_id: str) -> None:
        """An administrator corrects the conversation's unit, wherever it is by now."""
        (left,) = [record for record, total in self.totals(conversation_id) if total > 0]
        response = self.correct(left["id"])
        assert response.status_code == 201, response.text

    def correct(self, record_id: str) -> httpx.Response:
        """By one unit less."""
        path = f"/api/v1/customers/{self.id}/usage/records/{record_id}/corrections"
        return self.service.admin.post(path, json={"quantity": -1, "reason": "refund"})

    def totals(self, conversation_id: str | None = None) -> list[tuple[dict[str, Any], int]]:
        """The records, and what each amounts to with its corrections."""
        records = self.records(conversation_id)
        return [
            (record, record["quantity"] + sum(item["quantity"] for item in records if item["corrects"] == record["id"]))
            for record in records
            if record["corrects"] is None
        ]

    def gives_back_all(self) -> None:
        for conversation in self.conversations():
            self.gives_back(conversation["id"])

    def status(self) -> dict[str, Any]:
        """Where its conversations stand."""
        status: dict[str, Any] = self.client.get(f"/api/v1/customers/{self.id}/usage").json()["features"]["conversations"]
        return status

    def used(self) -> int:
        """Counter and ledger agree about it, and so does every conversation with its own records."""
        counter, ledger = self.service.database.used(self.id, "conversations")
        assert counter == ledger
        return counter
