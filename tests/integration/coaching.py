"""A coaching customer, by the calls that it makes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from threading import Barrier
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from tests.integration.service import ADMIN_KEY, Service, new_id

NEW_SESSION = {"title": "Weekly coaching", "language": "en-US", "stt_provider": "auto"}
AUDIO = "audio/mp4"

T = TypeVar("T")


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)  # noqa: TID251 - the service under test reads the same clock


@dataclass(frozen=True)
class Customer:
    """A customer at one service. The session that a method is about is named by its id."""

    id: str
    service: Service

    @classmethod
    def new(cls, service: Service, plan: str = "pro", **fields: object) -> "Customer":
        """On a plan, in a billing period that began three days ago unless the fields say otherwise."""
        customer = cls(new_id(), service)
        body = {"plan": plan, "billing_anchor": days_ago(3).isoformat()} | fields
        response = service.admin.put(f"/api/v1/customers/{customer.id}", json=body)
        assert response.status_code == 201, response.text
        return customer

    def at(self, service: Service) -> "Customer":
        """The same customer, calling another service."""
        return Customer(self.id, service)

    @cached_property
    def client(self) -> httpx.Client:
        """With the customer's own token."""
        return self.service.user(self.id)

    @cached_property
    def backend(self) -> httpx.Client:
        """With a service key, as whoever reports amounts."""
        return self.service.key(ADMIN_KEY, self.id)

    def create(self, key: str | None = None, **changes: object) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.post("/api/v1/sessions", json=NEW_SESSION | changes, headers=headers)

    def created(self) -> str:
        response = self.create()
        assert response.status_code == 201, response.text
        id: str = response.json()["id"]
        return id

    def get(self, id: str) -> httpx.Response:
        return self.client.get(f"/api/v1/sessions/{id}")

    def request_upload(self, id: str, size_bytes: int = 1000, content_type: str = AUDIO, filename: str = "monday.m4a") -> httpx.Response:
        body = {"filename": filename, "content_type": content_type, "size_bytes": size_bytes}
        return self.client.post(f"/api/v1/sessions/{id}/upload-url", json=body)

    def upload_url(self, id: str, size_bytes: int = 1000) -> str:
        response = self.request_upload(id, size_bytes)
        assert response.status_code == 200, response.text
        url: str = response.json()["upload_url"]
        return url

    def send(self, url: str, content: Any, content_type: str | None = AUDIO) -> httpx.Response:
        """Uploads as the holder of a signed URL does: with no other credential."""
        return self.service.anyone.put(url, content=content, headers={"Content-Type": content_type} if content_type else {})

    def upload(self, id: str, content: bytes = b"sound") -> None:
        response = self.send(self.upload_url(id, len(content)), content)
        assert response.status_code == 204, response.text

    def confirm(self, id: str) -> httpx.Response:
        return self.client.post(f"/api/v1/sessions/{id}/confirm-upload")

    def complete(self, id: str, duration_seconds: int = 1830) -> httpx.Response:
        return self.backend.post(f"/api/v1/sessions/{id}/complete", json={"duration_seconds": duration_seconds})

    def fail(self, id: str, reason: str = "silence") -> httpx.Response:
        return self.backend.post(f"/api/v1/sessions/{id}/fail", json={"reason": reason})

    def moves_to(self, plan: str) -> None:
        response = self.service.admin.patch(f"/api/v1/customers/{self.id}", json={"plan": plan})
        assert response.status_code == 200, response.text

    def has_used(self, feature: str, parts: int, occurred_at: datetime) -> None:
        """Writes to the ledger behind the service's back: the only way to have a past."""
        self.service.database.rows(
            """
            INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage)
            VALUES ($1, $2, $3, $4, $5, $5, 'sessions', 0)
            """,
            *(self.id, uuid4(), feature, parts, occurred_at),
        )

    def used(self, feature: str) -> int:
        """In smallest parts. Counter and ledger agree about it."""
        counter, ledger = self.service.database.used(self.id, feature)
        assert counter == ledger
        return counter


def at_once(*calls: Callable[[], T]) -> list[T]:
    """The results of calls that set out at the same moment."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
