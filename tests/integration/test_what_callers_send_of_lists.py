"""What callers send of lists: of a customer that does not exist there is no list, of one that has nothing yet there is an empty one."""

import base64
from typing import Any

import httpx
import pytest

from api.dependencies import CustomerInHeader, CustomerInPath, access_rules
from tests.integration.coaching import Customer
from tests.integration.contract import ROUTES, document
from tests.integration.scanning import Scanner
from tests.integration.service import ADMIN_KEY, Service, new_id, refused


def is_list(path: str) -> bool:
    """Whether a page of a customer's own is answered, that is of nothing smaller than a customer."""
    if "{id}" in path:
        return False
    described: dict[str, Any] = document["paths"][path].get("get", {})
    answer = described.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    rules = access_rules(ROUTES[f"GET {path}"]) if described else []
    return "/Page_" in answer and any(isinstance(rule, CustomerInHeader | CustomerInPath) for rule in rules)


LISTS = [path for path in document["paths"] if is_list(path)]

every_list = pytest.mark.parametrize("path", LISTS)


def test_the_lists_are_known() -> None:
    of_customer = "/api/v1/customers/{customer_id}"
    products = {f"/api/v1/{name}" for name in ("sessions", "conversations", "operations")}
    assert products | {f"{of_customer}/usage/records", f"{of_customer}/reservations"} <= set(LISTS)


@every_list
def test_of_a_customer_that_does_not_exist_there_is_no_list(service: Service, path: str) -> None:
    nobody = new_id()
    page = service.admin.get(f"/api/v1/customers/{listed(service)}/usage/records?limit=1").json()["next_cursor"]
    for client in (service.key(ADMIN_KEY, nobody), service.user(nobody)):
        for query in ("", "?limit=1", f"?cursor={page}"):
            assert refused(client.get(path.format(customer_id=nobody) + query), 404, "customer_not_found")["message"].count(nobody)


@pytest.mark.parametrize("path", [path for path in LISTS if not path.endswith("/plan-history")])  # every customer has a plan
def test_of_a_customer_that_has_nothing_yet_the_list_is_empty(service: Service, path: str) -> None:
    customer = Customer.new(service)
    for client in (service.key(ADMIN_KEY, customer.id), customer.client):
        assert client.get(path.format(customer_id=customer.id)).json() == {"items": [], "next_cursor": None}


def listed(service: Service) -> str:
    """A customer with more than one page, whose cursor is then somebody else's."""
    customer = Customer.new(service)
    customer.created()
    customer.created()
    return customer.id


# Operations and reservations, by where they stand.


@pytest.fixture
def scanner(service: Service) -> Scanner:
    return Scanner.new(service)


def pages(client: httpx.Client, path: str, **query: object) -> list[list[dict[str, Any]]]:
    """All of a list, as somebody reads it who turns the pages to the end."""
    found: list[list[dict[str, Any]]] = []
    cursor = None
    while cursor is not None or not found:
        answer = client.get(path, params={**query, **({"cursor": cursor} if cursor else {})}).json()
        found.append(answer["items"])
        cursor = answer["next_cursor"]
    return found


IDS = ["one", "two/2", "three | 3", "vier ä😀", "😀" * 255, "six"]


def test_operations_are_listed_newest_first_and_by_their_status(scanner: Scanner) -> None:
    for id in IDS:
        scanner.started(id, estimated_cost=0, estimated_runs=0)
    scanner.adds("six", cost=0.5)
    scanner.completes("three%20%7C%203")
    scanner.fails("one")
    alone = scanner.adds_standalone(cost=0.25).json()["id"]

    for limit, sizes in ((3, [3, 3, 1]), (200, [7])):
        shown = pages(scanner.client, "/api/v1/operations", limit=limit)
        assert [len(page) for page in shown] == sizes
        assert [item["id"] for page in shown for item in page] == [alone, *reversed(IDS)]
    by_status = {
        status: [item["id"] for page in pages(scanner.client, "/api/v1/operations", limit=1, status=status) for item in page]
        for status in ("running", "completed", "failed")
    }
    assert by_status == {"running": ["six", "😀" * 255, "vier ä😀", "two/2"], "completed": [alone, "three | 3"], "failed": ["one"]}


def test_a_listed_operation_is_the_operation_without_its_steps(scanner: Scanner) -> None:
    scanner.started("one")
    scanner.adds("one", cost=0.5, billable_run=True)
    ((item,),) = pages(scanner.client, "/api/v1/operations")
    assert item == {name: value for name, value in scanner.operation("one").items() if name not in ("steps", "next_cursor")}


def test_a_list_has_nothing_of_other_customers(scanner: Scanner) -> None:
    scanner.started("one")
    other = Scanner.new(scanner.service)
    cursor = scanner.client.get("/api/v1/operations?limit=1").json()["next_cursor"]
    assert pages(other.client, "/api/v1/operations") == pages(other.client, "/api/v1/operations", status="running") == [[]]
    assert pages(other.client, f"/api/v1/customers/{other.id}/reservations") == [[]]
    assert cursor is None


@pytest.mark.parametrize("path", ["/api/v1/operations?status=lost", "/api/v1/customers/{id}/reservations?state=lost"])
def test_a_status_that_does_not_exist_is_refused(scanner: Scanner, path: str) -> None:
    response = scanner.client.get(path.format(id=scanner.id))
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"][0] == "query"


@pytest.mark.parametrize("id", ["", " a", "a\0b", "x" * 256])
def test_a_cursor_that_names_what_is_no_id_is_refused(scanner: Scanner, id: str) -> None:
    cursor = base64.urlsafe_b64encode(f"2026-11-01T00:00:00+00:00|{id}".encode()).decode()
    assert scanner.client.get(f"/api/v1/operations?cursor={cursor}").status_code == 422


def test_reservations_are_listed_newest_first_and_by_their_state(scanner: Scanner) -> None:
    path, client = f"/api/v1/customers/{scanner.id}/reservations", scanner.backend
    body = {"usage": [{"feature": "ai_cost", "quantity": 0.25}], "ttl_seconds": 60}
    states = ("held", "expired", "committed", "released", "late")
    _, expired, committed, released, late = (client.post(path, json=body | {"reference": state}).json()["id"] for state in states)
    for id in (expired, late):
        scanner.service.database.rows(
            "UPDATE reservation SET expires_at = now() - interval '1 second' WHERE customer_id = $1 AND id = $2", scanner.id, id
        )
    for id, how in ((committed, "commit"), (released, "release"), (late, "commit")):
        assert client.post(f"{path}/{id}/{how}").status_code == 200
    scanner.started("scan")

    everything = pages(scanner.client, path, limit=2)
    assert [len(page) for page in everything] == [2, 2, 2]
    items = [item for page in everything for item in page]
    assert [item["reference"] for item in items] == ["scan", "late", "released", "committed", "expired", "held"]
    by_state = {
        state: [item["reference"] for page in pages(scanner.client, path, limit=1, state=state) for item in page]
        for state in ("held", "expired", "committed", "released")
    }
    assert by_state == {"held": ["scan", "held"], "expired": ["expired"], "committed": ["late", "committed"], "released": ["released"]}
    for item in items:
        one = scanner.client.get(f"{path}/{item['id']}").json()
        assert item == {name: value for name, value in one.items() if name != "balances"}


@pytest.mark.parametrize("query", ["active=true", "active=false", "counterparty=%2B14155552671", "counterparty=%2B14155552671&active=true"])
def test_no_filter_makes_a_list_of_a_customer_that_does_not_exist(service: Service, query: str) -> None:
    refused(service.key(ADMIN_KEY, new_id()).get(f"/api/v1/conversations?{query}"), 404, "customer_not_found")
