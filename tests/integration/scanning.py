"""A customer whose application runs AI operations, over real HTTP."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from tests.integration.coaching import Customer
from tests.integration.service import Service


@dataclass(frozen=True)
class Scanner(Customer):
    """The operation that a method is about is named by its id."""

    @classmethod
    def new(cls, service: Service, plan: str = "premium", **fields: object) -> "Scanner":
        return cls(super().new(service, plan, **fields).id, service)

    def at(self, service: Service) -> "Scanner":
        return Scanner(self.id, service)

    def starts(self, id: str | None = None, feature: str = "scan", key: str | None = None, **fields: object) -> httpx.Response:
        body = {"feature": feature, **({"id": id} if id else {})} | fields
        return self.backend.post("/api/v1/operations", json=body, headers=_headers(key))

    def started(self, id: str | None = None, **fields: object) -> str:
        response = self.starts(id, **fields)  # type: ignore[arg-type]
        assert response.status_code == 201, response.text
        started: str = response.json()["id"]
        return started

    def adds(
        self, operation: str, cost: object = 0.01, billable_run: object = False, key: str | None = None, **fields: object
    ) -> httpx.Response:
        body = {"feature": "ocr", "cost": cost, "billable_run": billable_run} | fields
        return self.backend.post(f"/api/v1/operations/{operation}/steps", json=body, headers=_headers(key))

    def adds_standalone(self, cost: object = 0.01, billable_run: object = True, key: str | None = None, **fields: object) -> httpx.Response:
        body = {"feature": "summary", "cost": cost, "billable_run": billable_run} | fields
        return self.backend.post("/api/v1/operations/standalone", json=body, headers=_headers(key))

    def completes(self, operation: str) -> httpx.Response:
        return self.backend.post(f"/api/v1/operations/{operation}/complete")

    def fails(self, operation: str) -> httpx.Response:
        return self.backend.post(f"/api/v1/operations/{operation}/fail")

    def operation(self, id: str) -> dict[str, Any]:
        response = self.client.get(f"/api/v1/operations/{id}")
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]

    def budget(self) -> dict[str, Any]:
        response = self.client.get("/api/v1/budget")
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]

    def can_afford(self, **query: Any) -> httpx.Response:
        return self.client.get("/api/v1/budget/can-afford", params=query)


def total(items: list[dict[str, Any]], name: str) -> Decimal:
    """The exact sum of the numbers, as they are written."""
    return sum((Decimal(str(item[name])) for item in items), Decimal(0))


def _headers(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}
