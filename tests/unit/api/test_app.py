"""The application as it is put together, before it serves anything."""

import json
import re

import pytest

from api.app import create_app, telemetry
from api.container import Container
from api.settings import Settings


def test_the_openapi_document_has_every_schema_that_it_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_DATABASE_URL", "postgresql://nowhere/never")
    monkeypatch.setenv("TOLLGATE_ADMIN_KEY", "tg_test")
    document = create_app(Container(settings=Settings())).openapi()

    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert referred - document["components"]["schemas"].keys() == set()
    assert {"Event", "EventData", "Refusal"} <= referred


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
