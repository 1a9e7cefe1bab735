"""The OpenAPI document is true: generated requests get only answers that it describes, and none that is a mistake of ours."""

from copy import deepcopy

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from api.dependencies import CUSTOMER_HEADER, CustomerInHeader, CustomerInPath, access_rules
from tests.integration.coaching import Customer
from tests.integration.contract import OPEN, ROUTES, document, publish_everything
from tests.integration.service import ADMIN_KEY, Service

# Every request of this test names its customer, so the header is left out of what is generated.
generated = deepcopy(document)
for operations in generated["paths"].values():
    for operation in operations.values():
        operation["parameters"] = [item for item in operation.get("parameters", ()) if item["name"] != CUSTOMER_HEADER]
schema = schemathesis.openapi.from_dict(generated)

load_all_checks()
PROMISED = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
}
# Not promised: that all which has the right form is accepted, since the domain's rules are no part of a form.
NOT_PROMISED = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in PROMISED]


# What has the wrong form there is answered part by part, within a 200; and of the plans' two optional query parameters, one in a
# form that no query string can carry arrives as none.
JUDGED_BY_PART = {"/api/v1/usage/batch", "/api/v1/events", "/api/v1/plans"}


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    publish_everything(service)
    return Customer.new(service, "everything")


@schema.parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_generated_request_gets_an_answer_that_is_described(case: schemathesis.Case, customer: Customer) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Tollgate-Customer": customer.id}
    excluded = [*NOT_PROMISED, CHECKS.get_one("negative_data_rejection")] if case.path in JUDGED_BY_PART else NOT_PROMISED
    case.call_and_validate(base_url=customer.service.address, headers=headers, excluded_checks=excluded)


def test_every_operation_describes_what_every_operation_can_answer() -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in OPEN:
                continue
            described = operation["responses"].keys()
            assert {"401", "403", "503"} <= described, (method, path)
            assert "requestBody" not in operation or {"400", "413"} <= described, (method, path)
            assert method != "post" or "idempotency_key_reused" in str(operation["responses"]["422"]), (method, path)


def test_an_operation_describes_what_follows_from_its_access_rule() -> None:
    for name, route in ROUTES.items():
        method, _, path = name.partition(" ")
        described = document["paths"][path][method.lower()]
        parameters = {item["name"] for item in described.get("parameters", ())}
        rules = access_rules(route)
        in_header = any(isinstance(rule, CustomerInHeader) for rule in rules)
        in_path = any(isinstance(rule, CustomerInPath) for rule in rules)
        assert ("security" in described) == bool(rules), name
        assert (CUSTOMER_HEADER in parameters) == in_header, name
        assert not (in_header or in_path) or "customer_not_found" in str(described["responses"]["404"]), name
        assert ("Idempotency-Key" in parameters) == (method == "POST"), name
