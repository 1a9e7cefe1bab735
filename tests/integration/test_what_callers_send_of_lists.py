"""What callers send of lists: of a customer that does not exist there is no list, of one that has nothing yet there is an empty one."""

from typing import Any

import pytest

from api.dependencies import CustomerInHeader, CustomerInPath, access_rules
from tests.integration.coaching import Customer
from tests.integration.contract import ROUTES, document
from tests.integration.service import ADMIN_KEY, Service, new_id, refused


def is_list(path: str) -> bool:
    """Whether a page of a customer's own is answered."""
    described: dict[str, Any] = document["paths"][path].get("get", {})
    answer = described.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    rules = access_rules(ROUTES[f"GET {path}"]) if described else []
    return "/Page_" in answer and any(isinstance(rule, CustomerInHeader | CustomerInPath) for rule in rules)


LISTS = [path for path in document["paths"] if is_list(path)]

every_list = pytest.mark.parametrize("path", LISTS)


def test_the_lists_are_known() -> None:
    assert {"/api/v1/sessions", "/api/v1/conversations", "/api/v1/customers/{customer_id}/usage/records"} <= set(LISTS)


@every_list
def test_of_a_customer_that_does_not_exist_there_is_no_list(service: Service, path: str) -> None:
    nobody = new_id()
    page = service.admin.get(f"/api/v1/customers/{listed(service)}/usage/records?limit=1").json()["next_cursor"]
    for client in (service.key(ADMIN_KEY, nobody), service.user(nobody)):
        for query in ("", "?limit=1", f"?cursor={page}"):
            assert refused(client.get(path.format(customer_id=nobody) + query), 404, "customer_not_found")["message"].count(nobody)


@every_list
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


@pytest.mark.parametrize("query", ["active=true", "active=false", "counterparty=%2B14155552671", "counterparty=%2B14155552671&active=true"])
def test_no_filter_makes_a_list_of_a_customer_that_does_not_exist(service: Service, query: str) -> None:
    refused(service.key(ADMIN_KEY, new_id()).get(f"/api/v1/conversations?{query}"), 404, "customer_not_found")
