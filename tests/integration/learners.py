"""A learner, by the calls that she makes."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx

from tests.integration.coaching import Customer
from tests.integration.service import Database, Service

SECONDS = 540


class Learner(Customer):
    """A customer who practises: on a plan of 30 practice sessions and 2 assessments unless the test says otherwise."""

    @classmethod
    def new(cls, service: Service, plan: str = "fluency_builder", **fields: object) -> "Learner":
        return cls(super().new(service, plan, **fields).id, service)

    def at(self, service: Service) -> "Learner":
        return Learner(self.id, service)

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        return self.client.post(f"/api/v1/{path}", json=body, headers={"Idempotency-Key": key} if key else {})

    def create_plan(self, total_sessions: int = 8, sessions_per_week: int = 2, **changes: object) -> httpx.Response:
        body = {"language": "es", "level": "B1", "total_sessions": total_sessions, "sessions_per_week": sessions_per_week}
        return self.post("learning-plans", body | changes)

    def plan(self, total_sessions: int = 8, sessions_per_week: int = 2) -> str:
        id: str = told(self.create_plan(total_sessions, sessions_per_week), 201)["id"]
        return id

    def get_plan(self, id: str) -> httpx.Response:
        return self.client.get(f"/api/v1/learning-plans/{id}")

    def start(self, id: str | None = None, plan: str | None = None) -> httpx.Response:
        return self.post("practice-sessions/start", {"id": id, "learning_plan_id": plan})

    def save(self, id: str | None = None, plan: str | None = None, key: str | None = None, **changes: object) -> httpx.Response:
        return self.post("practice-sessions/save", {"id": id, "learning_plan_id": plan, "duration_seconds": SECONDS} | changes, key)

    def assess(self, id: str | None = None, key: str | None = None, **changes: object) -> httpx.Response:
        return self.post("assessments", {"id": id, "kind": "speaking", "score": 78.5} | changes, key)

    def status(self) -> dict[str, Any]:
        return told(self.client.get("/api/v1/subscription-status"), 200)

    def limits(self) -> dict[str, Any]:
        """What is left; it is what the saves and assessments say of it, too."""
        limits: dict[str, Any] = self.status()["limits"]
        return limits

    def hold_expires(self, id: str) -> None:
        """Lets hours pass: moves the hold of a started session to an hour ago, behind the service's back."""
        hold = "SELECT reservation_id FROM practice_session WHERE customer_id = $1 AND id = $2"
        for table, name in (("reservation", "id"), ("usage_hold", "reservation_id")):
            statement = f"UPDATE {table} SET expires_at = now() - interval '1 hour' WHERE customer_id = $1 AND {name} = ({hold})"
            self.service.database.rows(statement, self.id, id)

    def practised(self, saved_at: datetime, plan: str | None = None) -> None:
        practised(self.service.database, self.id, saved_at, plan)

    def was_assessed(self, taken_at: datetime) -> None:
        assessed(self.service.database, self.id, taken_at)


def practised(database: Database, customer_id: str, saved_at: datetime, plan: str | None = None) -> None:
    """A saved session as a backup or an older version would leave it: a row, and no usage."""
    statement = """
        INSERT INTO practice_session (customer_id, id, learning_plan_id, duration_seconds, saved_at) VALUES ($1, $2, $3, 540, $4)
    """
    database.rows(statement, customer_id, str(uuid4()), plan, saved_at)


def assessed(database: Database, customer_id: str, taken_at: datetime) -> None:
    """An assessment without usage."""
    statement = "INSERT INTO assessment (customer_id, id, kind, taken_at) VALUES ($1, $2, 'speaking', $3)"
    database.rows(statement, customer_id, str(uuid4()), taken_at)


def told(response: httpx.Response, status: int) -> dict[str, Any]:
    """What is answered with this status."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


def remaining(used: int, limit: int = 30) -> dict[str, object]:
    """What a subscription shows with so many sessions used, and none held."""
    left = max(limit - used, 0)
    return {"sessions_used": used, "sessions_limit": limit, "sessions_remaining": left, "display": f"{left}/{limit}"}
