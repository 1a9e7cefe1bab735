"""The OpenAPI document is true: generated requests get only answers that it describes, and none that is a mistake of ours."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from api.app import create_app
from api.container import Container
from api.settings import Settings
from tests.integration.coaching import Customer
from tests.integration.contract import OPEN, publish_everything
from tests.integration.service import ADMIN_KEY, Service

document = create_app(Container(settings=Settings(database_url="postgresql://nowhere"))).openapi()
schema = schemathesis.openapi.from_dict(document)

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


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    publish_everything(service)
    return Customer.new(service, "everything")


@schema.parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_generated_request_gets_an_answer_that_is_described(case: schemathesis.Case, customer: Customer) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Tollgate-Customer": customer.id}
    case.call_and_validate(base_url=customer.service.address, headers=headers, excluded_checks=NOT_PROMISED)


def test_every_operation_describes_what_every_operation_can_answer() -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in OPEN:
                continue
            described = operation["responses"].keys()
            assert {"401", "403", "503"} <= described, (method, path)
            assert "requestBody" not in operation or {"400", "413"} <= described, (method, path)
            assert method != "post" or "idempotency_key_reused" in str(operation["responses"]["422"]), (method, path)
