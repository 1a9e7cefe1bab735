"""The OpenAPI document is true: generated requests get only answers that it describes, and none that is a mistake of ours."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from api.app import create_app
from api.container import Container
from api.settings import Settings
from tests.integration.coaching import Customer
from tests.integration.contract import publish_everything
from tests.integration.service import ADMIN_KEY, Service

schema = schemathesis.openapi.from_dict(create_app(Container(settings=Settings(database_url="postgresql://nowhere"))).openapi())


from schemathesis.checks import CHECKS, load_all_checks
load_all_checks()
OUT=[CHECKS.get_one(n) for n in CHECKS.get_all_names() if n not in ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance", "negative_data_rejection", "use_after_free", "ensure_resource_availability","ignored_auth")]

@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    publish_everything(service)
    return Customer.new(service, "everything")


@schema.parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_generated_requests_get_described_answers(case: schemathesis.Case, customer: Customer) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Tollgate-Customer": customer.id}
    case.call_and_validate(base_url=customer.service.address, headers=headers, excluded_checks=OUT)
