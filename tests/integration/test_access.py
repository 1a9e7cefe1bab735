"""Who may call what: every operation of the OpenAPI document, with every kind of credential."""

import asyncio
import time
from uuid import uuid4

import httpx
import pytest

from api.container import Container, closed
from api.dependencies import CustomerInHeader, CustomerInPath, access_rules
from api.settings import Settings
from core.access.create_key import CreatedKey, CreateKeyCommand
from core.access.service_keys import Scope, ServiceKey
from tests.integration.coaching import NEW_SESSION, Customer
from tests.integration.contract import CONTRACT, OF_CUSTOMER, OPEN, OPERATIONS, ROUTES, Operation, publish_everything, rule_of
from tests.integration.service import ADMIN_KEY, Service, new_id, refused, user_token

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service, "everything")


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[Scope, str]:
    return {scope: new_key(service, scope)[1] for scope in Scope}


@pytest.fixture(scope="module", autouse=True)
def plans(service: Service) -> None:
    publish_everything(service)


def new_key(service: Service, scope: Scope) -> tuple[ServiceKey, str]:
    async def create() -> CreatedKey:
        container = Container(settings=Settings(database_url=service.database.url))
        created: CreatedKey = await container.create_key().execute(CreateKeyCommand(scope=scope))
        await closed(container)
        return created

    created = asyncio.run(create())
    return created.key, created.text


def unauthenticated(response: httpx.Response) -> None:
    refused(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_table_has_every_operation(service: Service) -> None:
    document = service.anyone.get("/openapi.json").json()
    documented = {f"{method.upper()} {path}" for path, item in document["paths"].items() if path not in OPEN for method in item}
    assert documented == {operation.name for operation in OPERATIONS}


def test_every_route_declares_one_rule_and_the_open_ones_none() -> None:
    for name, route in ROUTES.items():
        assert len(access_rules(route)) == (0 if route.path_format in OPEN else 1), name


@pytest.mark.parametrize("operation", CONTRACT, ids=str)
def test_a_route_declares_what_the_contract_grants(operation: Operation) -> None:
    rule = rule_of(operation)
    assert (rule.scope, rule.admits_users) == (operation.scope, operation.user)
    assert isinstance(rule, CustomerInPath) == operation.path.startswith(OF_CUSTOMER)


@every_operation
def test_what_changes_something_takes_more_than_reading(operation: Operation) -> None:
    of_admins = ("/api/v1/keys", "/api/v1/customers/{customer_id}/export")  # all of it at once, or who may do what
    reads = (operation.method == "GET" and operation.path not in of_admins) or operation.path.endswith(("/usage/check", "/usage/explain"))
    assert (operation.scope is Scope.READ) == reads


@every_operation
def test_what_is_not_a_products_is_changed_by_no_user(operation: Operation) -> None:
    if operation.scope is Scope.ADMIN or not isinstance(rule_of(operation), CustomerInHeader):
        assert not operation.user or operation.scope is Scope.READ


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
    if operation.is_open_to(scope):
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
    if operation.path.startswith(OF_CUSTOMER):
        refused(response, 404, "customer_not_found")
    elif operation.user:
        assert refused(response, 404, response.json()["detail"].get("error"))["error"].endswith("_not_found")
    else:
        refused(response, 403, "forbidden")  # whatever id it is, and whosever
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
    for path in (f"/api/v1/sessions/{session}", "/api/v1/sessions"):
        refused(client.get(path), 404, "customer_not_found")


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
        assert text.split("_", 2)[2] not in stored


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
