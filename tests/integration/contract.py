"""Every operation: who may call it, and a body that it takes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import yaml
from fastapi.routing import APIRoute

from api.app import create_app
from api.container import Container
from api.dependencies import AccessRule, access_rules
from api.settings import Settings
from core.access.service_keys import Scope
from core.products import BUILT_IN
from tests.integration.coaching import NEW_SESSION
from tests.integration.service import PLANS, Service

OPEN = {"/healthz", "/readyz", "/api/v1/uploads/{token}"}


@dataclass(frozen=True)
class Operation:
    """`scope` is the least that a service key needs; `user`: whether a user token does, too, for what is its own."""

    method: str
    path: str
    scope: Scope
    user: bool
    body: dict[str, object] | None = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def is_open_to(self, scope: Scope) -> bool:
        """Read, write, admin: each may do what those before it may."""
        return scope in {Scope.READ: list(Scope), Scope.WRITE: (Scope.WRITE, Scope.ADMIN), Scope.ADMIN: (Scope.ADMIN,)}[self.scope]

    @property
    def name(self) -> str:
        """Method and path alone."""
        return str(self).partition("?")[0]

    def url(self, customer_id: str, id: str) -> str:
        known = {"customer_id": customer_id, "key": "own-plan", "feature": "sessions"}
        return re.sub(r"{(\w+)}", lambda found: known.get(found[1], id), self.path)

    def send(self, client: httpx.Client, url: str, headers: Mapping[bytes, bytes] | None = None) -> httpx.Response:
        content_type = {b"Content-Type": self.content_type.encode()}
        return client.request(self.method, url, json=self.body, headers={**content_type, **(headers or {})})

    def call(self, client: httpx.Client, customer_id: str, id: str) -> httpx.Response:
        return self.send(client, self.url(customer_id, id))


AT = "2026-11-01T00:00:00Z"
AMOUNTS = [{"feature": "sessions", "quantity": 1, "dimension": "en"}, {"feature": "ai_cost", "quantity": 0.02}]
CUSTOMER = {"plan": "everything", "billing_anchor": AT, "billing_interval": "month", "time_zone": "UTC", "phone_region": "US"} | {
    "email": "team@example.com",
    "locale": "de",
}
PLAN = {
    "name": "Own",
    "entitlements": {
        "sessions": {"type": "metered", "limit": 10, "reset": "month", "enforcement": "soft", "rollover": {"max": 5, "periods": 2}},
        "max_file_size_mb": {"type": "static", "value": 2.5},
        "exports": {"type": "boolean", "enabled": True},
    },
}
USAGE = {"usage": AMOUNTS, "mode": "record", "occurred_at": None, "reference": "ref"}
RESERVATION = {"usage": AMOUNTS, "ttl_seconds": 60, "reference": "ref"}
BATCH = {"items": [USAGE | {"customer_id": "nobody", "idempotency_key": "key"}]}
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "test",
    "type": "sessions",
    "subject": "nobody",
    "data": {"quantity": 1, "dimension": "en"},
}
UPLOAD = {"filename": "a.m4a", "content_type": "audio/mp4", "size_bytes": 5}
GRANT = {"feature": "sessions", "quantity": 5, "kind": "paid", "priority": 50, "expires_at": None, "reference": "order 7"}
LEARNING_PLAN = {"language": "de", "level": "B1", "total_sessions": 8, "sessions_per_week": 2}
PRACTICE = {"id": "own", "conversation_type": "travel", "duration_seconds": 60, "summary": "good"}
OPERATION = {"id": "own", "feature": "scan", "estimated_cost": 0.002, "estimated_runs": 1}
STEP = {"id": "own", "feature": "scan_ocr", "cost": 0.001, "billable_run": False}
MESSAGE = {"direction": "inbound", "counterparty": "+14155552671", "message_id": "1", "channel": "queued", "sent_at": None}
OF_CUSTOMER = "/api/v1/customers/{customer_id}"
CONTRACT = [
    Operation("GET", "/api/v1/customers", Scope.READ, False),
    Operation("PUT", OF_CUSTOMER, Scope.ADMIN, False, CUSTOMER),
    Operation("PATCH", OF_CUSTOMER, Scope.ADMIN, False, CUSTOMER),
    Operation("GET", OF_CUSTOMER, Scope.READ, True),
    Operation("DELETE", OF_CUSTOMER, Scope.ADMIN, False),
    Operation("GET", f"{OF_CUSTOMER}/export", Scope.ADMIN, False),
    Operation("GET", f"{OF_CUSTOMER}/plan-history", Scope.READ, True),
    Operation("DELETE", f"{OF_CUSTOMER}/scheduled-change", Scope.ADMIN, False),
    Operation("PUT", f"{OF_CUSTOMER}/overrides/{{feature}}", Scope.ADMIN, False, {"limit": 7, "enforcement": "soft", "until": None}),
    Operation("DELETE", f"{OF_CUSTOMER}/overrides/{{feature}}", Scope.ADMIN, False),
    Operation("PUT", f"{OF_CUSTOMER}/addons/{{plan_key}}", Scope.ADMIN, False, {"quantity": 2}),
    Operation("DELETE", f"{OF_CUSTOMER}/addons/{{plan_key}}", Scope.ADMIN, False),
    Operation("GET", f"{OF_CUSTOMER}/refusals", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/portal-sessions", Scope.WRITE, False, {"ttl_seconds": 60, "theme": "dark"}),
    Operation("DELETE", f"{OF_CUSTOMER}/portal-sessions/{{id}}", Scope.WRITE, False),
    Operation("PUT", f"{OF_CUSTOMER}/alerts/{{feature}}", Scope.ADMIN, False, {"thresholds": [{"type": "percent", "value": 80}]}),
    Operation("DELETE", f"{OF_CUSTOMER}/alerts/{{feature}}", Scope.ADMIN, False),
    Operation("GET", f"{OF_CUSTOMER}/alerts", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/grants", Scope.ADMIN, False, GRANT),
    Operation("GET", f"{OF_CUSTOMER}/grants", Scope.READ, True),
    Operation("GET", f"{OF_CUSTOMER}/grants/{{grant_id}}", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/grants/{{grant_id}}/void", Scope.ADMIN, False, {"reason": "payment failed"}),
    Operation("GET", f"{OF_CUSTOMER}/usage", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/usage", Scope.WRITE, False, USAGE),
    Operation("POST", f"{OF_CUSTOMER}/usage/check", Scope.READ, True, USAGE),
    Operation("POST", f"{OF_CUSTOMER}/usage/explain", Scope.READ, True, {"usage": AMOUNTS}),
    Operation("GET", f"{OF_CUSTOMER}/usage/forecast", Scope.READ, True),
    Operation("GET", f"{OF_CUSTOMER}/usage/history", Scope.READ, True),
    Operation("GET", f"{OF_CUSTOMER}/usage/records", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/usage/records/{{record_id}}/corrections", Scope.ADMIN, False, {"quantity": -1, "reason": "refund"}),
    Operation("POST", f"{OF_CUSTOMER}/reservations", Scope.WRITE, False, RESERVATION),
    Operation("GET", f"{OF_CUSTOMER}/reservations/{{id}}", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/reservations/{{id}}/commit", Scope.WRITE, False, {"usage": AMOUNTS}),
    Operation("POST", f"{OF_CUSTOMER}/reservations/{{id}}/release", Scope.WRITE, False),
    Operation("POST", f"{OF_CUSTOMER}/reservations/{{id}}/extend", Scope.WRITE, False, {"ttl_seconds": 60}),
    Operation("GET", f"{OF_CUSTOMER}/reservations", Scope.READ, True),
    Operation("POST", "/api/v1/usage/batch", Scope.WRITE, False, BATCH),
    Operation("POST", "/api/v1/events", Scope.WRITE, False, EVENT, "application/cloudevents+json"),
    Operation("GET", "/api/v1/events/catalogue", Scope.READ, False),
    Operation("GET", "/api/v1/plans", Scope.READ, False),
    Operation("GET", "/api/v1/plans/{key}", Scope.READ, False),
    Operation("PUT", "/api/v1/plans/{key}", Scope.ADMIN, False, PLAN),
    Operation("PUT", "/api/v1/features/{key}", Scope.ADMIN, False, {"unit": "call", "resolution": 60}),
    Operation("POST", "/api/v1/keys", Scope.ADMIN, False, {"scope": "read", "name": "own", "expires_at": None}),
    Operation("GET", "/api/v1/keys", Scope.ADMIN, False),
    Operation("POST", "/api/v1/keys/{id}/rotate", Scope.ADMIN, False, {"grace_seconds": 60}),
    Operation("DELETE", "/api/v1/keys/{id}", Scope.ADMIN, False),
    Operation("GET", "/metrics", Scope.READ, False),
    Operation("POST", "/api/v1/sessions", Scope.WRITE, True, NEW_SESSION),
    Operation("GET", "/api/v1/sessions", Scope.READ, True),
    Operation("GET", "/api/v1/sessions/{id}", Scope.READ, True),
    Operation("POST", "/api/v1/sessions/{id}/upload-url", Scope.WRITE, True, UPLOAD),
    Operation("POST", "/api/v1/sessions/{id}/confirm-upload", Scope.WRITE, True),
    Operation("POST", "/api/v1/sessions/{id}/complete", Scope.WRITE, False, {"duration_seconds": 60}),
    Operation("POST", "/api/v1/sessions/{id}/fail", Scope.WRITE, False, {"reason": "silence"}),
    Operation("POST", "/api/v1/learning-plans", Scope.WRITE, True, LEARNING_PLAN),
    Operation("GET", "/api/v1/learning-plans/{id}", Scope.READ, True),
    Operation("POST", "/api/v1/practice-sessions/start", Scope.WRITE, True, {"id": "started"}),
    Operation("POST", "/api/v1/practice-sessions/{id}/abandon", Scope.WRITE, True),
    Operation("POST", "/api/v1/practice-sessions/save", Scope.WRITE, True, PRACTICE),
    Operation("POST", "/api/v1/assessments", Scope.WRITE, True, {"id": "own", "kind": "speaking", "score": 0.5}),
    Operation("GET", "/api/v1/subscription-status", Scope.READ, True),
    Operation("POST", "/api/v1/operations", Scope.WRITE, False, OPERATION),
    Operation("POST", "/api/v1/operations/standalone", Scope.WRITE, False, STEP),
    Operation("POST", "/api/v1/operations/{id}/steps", Scope.WRITE, False, STEP),
    Operation("POST", "/api/v1/operations/{id}/complete", Scope.WRITE, False),
    Operation("POST", "/api/v1/operations/{id}/fail", Scope.WRITE, False),
    Operation("GET", "/api/v1/operations/{id}", Scope.READ, True),
    Operation("GET", "/api/v1/operations/{id}/steps", Scope.READ, True),
    Operation("GET", "/api/v1/operations", Scope.READ, True),
    Operation("GET", "/api/v1/budget", Scope.READ, True),
    Operation("GET", "/api/v1/budget/can-afford?cost=0.02&runs=1", Scope.READ, True),
    Operation("POST", "/api/v1/messages", Scope.WRITE, False, MESSAGE),
    Operation("GET", "/api/v1/conversations", Scope.READ, True),
    Operation("GET", "/api/v1/conversations/{id}", Scope.READ, True),
]
"""What the contract grants. It is written by hand, so that the routes cannot say anything else."""

app = create_app(Container(settings=Settings(database_url="postgresql://nowhere")))
document = app.openapi()
ROUTES = {
    f"{method} {route.path_format}": route
    for route in app.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in route.methods or ()
}


def rule_of(operation: Operation) -> AccessRule:
    """The one that the operation's route declares."""
    (rule,) = access_rules(ROUTES[operation.name])
    return rule


def example(schema: Mapping[str, Any]) -> Any:
    """Something of this form, as small as may be."""
    match schema:
        case {"$ref": name}:
            return example(document["components"]["schemas"][name.rpartition("/")[2]])
        case {"examples": [value, *_]} | {"const": value} | {"enum": [value, *_]}:
            return value
        case {"anyOf": [form, *_]} | {"oneOf": [form, *_]}:
            return example(form)
        case {"type": "object"}:
            return {name: example(schema["properties"][name]) for name in schema.get("required", ())}
        case {"type": "array", "items": items}:
            return [example(items)]
        case _:
            return {"string": "own", "boolean": False}.get(schema["type"], 1)


def not_in_contract() -> Iterator[Operation]:
    """The operations of a product of your own: who may call them is what their routes declare."""
    for name, route in ROUTES.items():
        if name in {operation.name for operation in CONTRACT}:
            continue
        method, _, path = name.partition(" ")
        described = document["paths"][path][method.lower()].get("requestBody")
        body = described and example(described["content"]["application/json"]["schema"])
        for rule in access_rules(route):
            yield Operation(method, path, rule.scope, rule.admits_users, body)


OPERATIONS = [*CONTRACT, *not_in_contract()]


def publish_everything(service: Service) -> None:
    """The plan that `{key}` stands for, and one called `everything` that refuses nothing."""
    metered = [*(feature.key for feature in BUILT_IN), *yaml.safe_load(PLANS.read_text())["features"]]
    entitlements = {feature: {"type": "metered", "limit": None} for feature in metered} | {
        "max_file_size_mb": {"type": "static", "value": 60}
    }
    for key, plan in (("own-plan", PLAN), ("everything", {"name": "Everything", "entitlements": entitlements})):
        assert service.admin.put(f"/api/v1/plans/{key}", json=plan).status_code in (200, 201)
