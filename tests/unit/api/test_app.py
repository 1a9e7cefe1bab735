"""The application as it is put together, before it serves anything."""

import json
import re
from pathlib import Path

import pytest

import api.v1
from api.app import create_app, telemetry
from api.container import Container
from api.settings import Settings
from api.v1 import conversations, usage
from api.v1.routers import routers
from core.products import PRODUCTS


def test_the_openapi_document_has_every_schema_that_it_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_DATABASE_URL", "postgresql://nowhere/never")
    monkeypatch.setenv("TOLLGATE_ADMIN_KEY", "tg_test")
    document = create_app(Container(settings=Settings())).openapi()

    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert referred - document["components"]["schemas"].keys() == set()
    assert {"Event", "EventData", "Refusal"} <= referred


def test_every_module_of_the_api_that_has_a_router_is_in_the_list_of_routers() -> None:
    declared = [path for path in Path(api.v1.__path__[0]).glob("*.py") if "\nrouter = APIRouter(" in path.read_text()]
    found = list(routers(PRODUCTS))
    assert len(found) == len({id(router) for router in found}) == len(declared) > 10
    assert {conversations.router.prefix, usage.router.prefix} <= {router.prefix for router in found}


def test_each_product_that_can_be_named_has_rooms_of_its_own() -> None:
    engines = {id(router) for router in routers(())}
    rooms = [{id(router) for router in routers((name,))} - engines for name in PRODUCTS]
    assert all(rooms)
    assert sum(map(len, rooms)) == len(set().union(*rooms)) == len(list(routers(PRODUCTS))) - len(engines)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ((), {"tracing": False, "metrics": False, "logs": False}),
        (("PATH", "TOLLGATE_ADMIN_KEY"), {"tracing": False, "metrics": False, "logs": False}),
        (("OTEL_EXPORTER_OTLP_ENDPOINT",), {}),
        (("FASTAPI_OTEL_AUTO_CONFIGURE",), {}),
    ],
)
def test_requests_are_traced_where_the_environment_says_so(environment: tuple[str, ...], expected: dict[str, bool]) -> None:
    assert telemetry(environment) == expected
