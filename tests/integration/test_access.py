"""Who may call what: every operation of the OpenAPI document, with every kind of credential."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
import uuid_utils.compat

from core.access.service_keys import Scope, ServiceKey, generate
from infrastructure.sql.engine import create_engine
from infrastructure.sql.service_keys import SqlServiceKeys
from tests.integration.coaching import NEW_SESSION, Customer
from tests.integration.service import ADMIN_KEY, Service, new_id, refused, user_token

OPEN = {"/healthz", "/readyz", "/api/v1/uploads/{token}"}
PLAN = {"name": "Own", "entitlements": {}}


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

    def call(self, client: httpx.Client, customer_id: str, session_id: str) -> httpx.Response:
        path = self.path.format(customer_id=customer_id, id=session_id, record_id=session_id, key="own-plan")
        return client.request(self.method, path, json=self.body, headers={"Content-Type": self.content_type})


UPLOAD = {"filename": "a.m4a", "content_type": "audio/mp4", "size_bytes": 5}
USAGE = {"usage": [{"feature": "sessions", "quantity": 1}]}
EVENT = {"specversion": "1.0", "id": "1", "source": "test", "type": "sessions", "subject": "nobody"}
LEARNING_PLAN = {"language": "de", "level": "B1", "total_sessions": 8, "sessions_per_week": 2}
STEP = {"feature": "scan_ocr", "cost": 0.001, "billable_run": False}
MESSAGE = {"direction": "inbound", "counterparty": "+14155552671", "message_id": "1"}
OF_CUSTOMER = "/api/v1/customers/{customer_id}"
OPERATIONS = [
    Operation("PUT", OF_CUSTOMER, Scope.ADMIN, False, {"plan": "pro"}),
    Operation("PATCH", OF_CUSTOMER, Scope.ADMIN, False, {"plan": "pro"}),
    Operation("GET", OF_CUSTOMER, Scope.READ, True),
    Operation("GET", f"{OF_CUSTOMER}/usage", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/usage", Scope.WRITE, False, USAGE),
    Operation("POST", f"{OF_CUSTOMER}/usage/check", Scope.READ, True, USAGE),
    Operation("GET", f"{OF_CUSTOMER}/usage/records", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/usage/records/{{record_id}}/corrections", Scope.ADMIN, False, {"quantity": -1, "reason": "refund"}),
    Operation("POST", f"{OF_CUSTOMER}/reservations", Scope.WRITE, False, USAGE),
    Operation("GET", f"{OF_CUSTOMER}/reservations/{{id}}", Scope.READ, True),
    Operation("POST", f"{OF_CUSTOMER}/reservations/{{id}}/commit", Scope.WRITE, False),
    Operation("POST", f"{OF_CUSTOMER}/reservations/{{id}}/release", Scope.WRITE, False),
    Operation("POST", "/api/v1/usage/batch", Scope.WRITE, False, {"items": [USAGE | {"customer_id": "nobody"}]}),
    Operation("POST", "/api/v1/events", Scope.WRITE, False, EVENT, "application/cloudevents+json"),
    Operation("GET", "/api/v1/plans", Scope.READ, False),
    Operation("GET", "/api/v1/plans/{key}", Scope.READ, False),
    Operation("PUT", "/api/v1/plans/{key}", Scope.ADMIN, False, PLAN),
    Operation("PUT", "/api/v1/features/{key}", Scope.ADMIN, False, {"unit": "call"}),
    Operation("GET", "/metrics", Scope.READ, False),
    Operation("POST", "/api/v1/sessions", Scope.WRITE, True, NEW_SESSION),
    Operation("GET", "/api/v1/sessions", Scope.READ, True),
    Operation("GET", "/api/v1/sessions/{id}", Scope.READ, True),
    Operation("POST", "/api/v1/sessions/{id}/upload-url", Scope.WRITE, True, UPLOAD),
    Operation("POST", "/api/v1/sessions/{id}/confirm-upload", Scope.WRITE, True),
    Operation("POST", "/api/v1/sessions/{id}/complete", Scope.WRITE, True, {"duration_seconds": 60}),
    Operation("POST", "/api/v1/sessions/{id}/fail", Scope.WRITE, True, {"reason": "silence"}),
    Operation("POST", "/api/v1/learning-plans", Scope.WRITE, True, LEARNING_PLAN),
    Operation("GET", "/api/v1/learning-plans/{id}", Scope.READ, True),
    Operation("POST", "/api/v1/practice-sessions/start", Scope.WRITE, True, {}),
    Operation("POST", "/api/v1/practice-sessions/save", Scope.WRITE, True, {"duration_seconds": 60}),
    Operation("POST", "/api/v1/assessments", Scope.WRITE, True, {"kind": "speaking"}),
    Operation("GET", "/api/v1/subscription-status", Scope.READ, True),
    Operation("POST", "/api/v1/operations", Scope.WRITE, True, {"feature": "scan"}),
    Operation("POST", "/api/v1/operations/standalone", Scope.WRITE, True, STEP),
    Operation("POST", "/api/v1/operations/{id}/steps", Scope.WRITE, True, STEP),
    Operation("POST", "/api/v1/operations/{id}/complete", Scope.WRITE, True),
    Operation("POST", "/api/v1/operations/{id}/fail", Scope.WRITE, True),
    Operation("GET", "/api/v1/operations/{id}", Scope.READ, True),
    Operation("GET", "/api/v1/budget", Scope.READ, True),
    Operation("GET", "/api/v1/budget/can-afford?cost=0.02&runs=1", Scope.READ, True),
    Operation("POST", "/api/v1/messages", Scope.WRITE, True, MESSAGE),
    Operation("GET", "/api/v1/conversations", Scope.READ, True),
    Operation("GET", "/api/v1/conversations/{id}", Scope.READ, True),
]
"""What the contract grants. A new operation has to be added here."""

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service, "everything")


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[Scope, str]:
    return {scope: new_key(service, scope)[1] for scope in Scope}


@pytest.fixture(scope="module", autouse=True)
def own_plan(service: Service) -> None:
    """What `{key}` stands for, and a plan that refuses nothing."""
    assert service.admin.put("/api/v1/plans/own-plan", json=PLAN).status_code == 201
    metered = ("sessions", "minutes", "practice_sessions", "assessments", "ai_runs", "ai_cost", "conversations")
    entitlements = {feature: {"type": "metered", "limit": None} for feature in metered} | {
        "max_file_size_mb": {"type": "static", "value": 60}
    }
    plan = {"name": "Everything", "entitlements": entitlements}
    assert service.admin.put("/api/v1/plans/everything", json=plan).status_code == 201


def new_key(service: Service, scope: Scope) -> tuple[ServiceKey, str]:
    now = datetime.now(UTC)  # noqa: TID251
    key, text = generate(uuid_utils.compat.uuid7(), scope, now)

    async def store() -> None:
        engine = create_engine(service.database.url)
        await SqlServiceKeys(engine).add(key)
        await engine.dispose()

    asyncio.run(store())
    return key, text


def unauthenticated(response: httpx.Response) -> None:
    refused(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_table_above_has_every_operation(service: Service) -> None:
    document = service.anyone.get("/openapi.json").json()
    documented = {f"{method.upper()} {path}" for path, item in document["paths"].items() if path not in OPEN for method in item}
    assert documented == {str(operation).partition("?")[0] for operation in OPERATIONS}


def test_the_open_routes_are_open(service: Service) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert service.anyone.get(path).status_code == 200


@every_operation
def test_without_credentials_nothing_is_answered(service: Service, customer: Customer, operation: Operation) -> None:
    unauthenticated(operation.call(service.anyone, customer.id, str(uuid4())))


@every_operation
@pytest.mark.parametrize("scope", Scope)
def test_a_service_key_may_do_what_its_scope_covers(
    service: Service, customer: Customer, keys: dict[Scope, str], operation: Operation, scope: Scope
) -> None:
    response = operation.call(service.key(keys[scope], customer.id), customer.id, str(uuid4()))
    if scope.covers(operation.scope):
        assert response.status_code not in (401, 403), response.text
    else:
        assert refused(response, 403, "forbidden")["required_scope"] == operation.scope


@every_operation
def test_a_user_token_opens_its_own_customers_product_routes_and_reads(customer: Customer, operation: Operation) -> None:
    id = customer.created()
    response = operation.call(customer.client, customer.id, id)
    if operation.user:
        assert response.status_code not in (401, 403), response.text
        assert "customer_not_found" not in response.text
    else:
        refused(response, 403, "forbidden")


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if "id}" in operation.path], ids=str)
def test_another_customers_things_do_not_exist_for_a_user(service: Service, customer: Customer, operation: Operation) -> None:
    session = customer.created()
    before = (customer.get(session).json(), service.admin.get(f"/api/v1/customers/{customer.id}").json())
    response = operation.call(Customer.new(service).client, customer.id, session)
    error = refused(response, 404, response.json()["detail"].get("error"))["error"]
    assert error == "customer_not_found" if operation.path.startswith(OF_CUSTOMER) else error.endswith("_not_found")
    assert (customer.get(session).json(), service.admin.get(f"/api/v1/customers/{customer.id}").json()) == before


def test_an_unknown_customer_and_another_one_are_told_alike(service: Service, customer: Customer) -> None:
    unknown = new_id()
    told = [customer.client.get(f"/api/v1/customers/{id}").json() for id in (Customer.new(service).id, unknown)]
    assert [str(answer).replace(unknown, "") for answer in told][1] == str(told[1]).replace(unknown, "")
    assert {answer["detail"]["error"] for answer in told} == {"customer_not_found"}


def test_a_list_has_nothing_of_another_customers(service: Service, customer: Customer) -> None:
    customer.created()
    other = Customer.new(service)
    assert other.client.get("/api/v1/sessions").json()["items"] == []
    mine = customer.client.get("/api/v1/sessions", params={"limit": 1}).json()
    customer.created()
    following = customer.client.get("/api/v1/sessions", params={"limit": 1}).json()["next_cursor"]
    assert other.client.get("/api/v1/sessions", params={"cursor": following}).json()["items"] == []
    assert len(mine["items"]) == 1


def test_a_service_key_speaks_for_the_customer_that_the_header_names(service: Service, customer: Customer) -> None:
    session = customer.created()
    assert service.key(ADMIN_KEY, customer.id).get(f"/api/v1/sessions/{session}").status_code == 200
    refused(service.key(ADMIN_KEY, Customer.new(service).id).get(f"/api/v1/sessions/{session}"), 404, "session_not_found")
    refused(service.key(ADMIN_KEY, new_id()).post("/api/v1/sessions", json=NEW_SESSION), 404, "customer_not_found")


@pytest.mark.parametrize("name", [None, "x" * 256, "a\tb"], ids=["none", "too long", "unprintable"])
def test_a_service_key_without_a_customer_is_told_to_name_one(service: Service, name: str | None) -> None:
    response = service.key(ADMIN_KEY, name).get("/api/v1/sessions")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["header", "Tollgate-Customer"]


def test_the_header_does_not_lend_a_user_another_customer(service: Service, customer: Customer) -> None:
    session, other = customer.created(), Customer.new(service)
    client = service.client({"Authorization": f"Bearer {user_token(other.id)}", "Tollgate-Customer": customer.id})
    refused(client.get(f"/api/v1/sessions/{session}"), 404, "session_not_found")
    assert client.get("/api/v1/sessions").json().get("items", []) == []


def test_the_ledger_says_who_booked(service: Service, customer: Customer) -> None:
    key, text = new_key(service, Scope.WRITE)
    customer.created()
    assert service.key(text, customer.id).post("/api/v1/sessions", json=NEW_SESSION).status_code == 201
    rows = service.database.rows("SELECT recorded_by FROM usage_record WHERE customer_id = $1 ORDER BY recorded_at", customer.id)
    assert [row["recorded_by"] for row in rows] == [f"user:{customer.id}", f"key:{key.id}"]


def test_a_revoked_key_is_refused_from_then_on(service: Service) -> None:
    key, text = new_key(service, Scope.READ)
    client = service.key(text)
    assert client.get("/api/v1/plans").status_code == 200
    service.database.rows("UPDATE service_key SET revoked_at = now() WHERE id = $1", key.id)
    unauthenticated(client.get("/api/v1/plans"))


def test_a_key_is_stored_by_its_hash_only(service: Service, keys: dict[Scope, str]) -> None:
    stored = str(service.database.rows("SELECT * FROM service_key"))
    for text in keys.values():
        assert text.rpartition("_")[2] not in stored


def forged_tokens(customer_id: str) -> dict[str, str]:
    now = int(time.time())
    return {
        "of another secret": user_token(customer_id, secret="another secret that is as long as it has to be"),
        "of another algorithm": user_token(customer_id, algorithm="HS512"),
        "unsigned": user_token(customer_id, secret="", algorithm="none"),
        "without an expiry": user_token(customer_id, exp=None),
        "expired": user_token(customer_id, exp=now - 1),
        "not valid yet": user_token(customer_id, nbf=now + 600),
        "without a subject": user_token(customer_id, sub=None),
        "with a number for a subject": user_token(customer_id, sub=7),
        "with an empty subject": user_token(customer_id, sub=""),
        "cut short": user_token(customer_id)[:-1],
        "for an audience, where none is set": user_token(customer_id, aud="another-service"),
    }


@pytest.mark.parametrize("kind", forged_tokens(""))
def test_a_token_that_does_not_hold_is_refused(service: Service, customer: Customer, kind: str) -> None:
    client = service.client({"Authorization": f"Bearer {forged_tokens(customer.id)[kind]}"})
    unauthenticated(client.get("/api/v1/sessions"))


NO_CREDENTIALS = [
    "",
    "Bearer",
    "Basic dXNlcjpwYXNz",
    "Bearer tg_",
    "Bearer \xe9",
    "Bearer \x80",
    "Bearer a.b.c",
    "Bearer\ta.b.c",
    ADMIN_KEY,
]


@pytest.mark.parametrize("header", [*NO_CREDENTIALS, f"Bearer {ADMIN_KEY}x", f"Bearer {ADMIN_KEY[:-1]}"])
def test_a_header_that_is_no_credential_is_refused(service: Service, header: str) -> None:
    unauthenticated(service.anyone.get("/api/v1/plans", headers={b"Authorization": header.encode("latin-1")}))


def test_the_kind_of_a_credential_is_read_in_any_case(service: Service) -> None:
    assert service.client({"Authorization": f"bEARER  {ADMIN_KEY}"}).get("/api/v1/plans").status_code == 200
