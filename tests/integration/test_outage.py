"""PostgreSQL goes away under a running service, and comes back."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy.engine import make_url

from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.sql.upkeep.health import FRESH_SECONDS
from tests.integration.coaching import Customer
from tests.integration.service import Database, Service, refused, until
from tests.integration.traffic import UNLIMITED, Traffic


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, to be stopped and started."""
    postgres = EmbeddedPostgres(data_dir)
    yield postgres
    postgres.stop()


@pytest.fixture(scope="module")
def service(postgres: EmbeddedPostgres) -> Iterator[Service]:
    with Service(postgres.start(), arguments=["--migrate"]) as service:
        yield service


@pytest.fixture
def customer(postgres: EmbeddedPostgres, service: Service) -> Customer:
    postgres.start()
    until(lambda: service.anyone.get("/readyz").status_code == 200, expected="the service to have recovered")
    assert service.admin.put("/api/v1/plans/unlimited", json=UNLIMITED).status_code in (200, 201)
    return Customer.new(service, "unlimited")


def kill_9(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])).kill()


def unavailable(response: httpx.Response) -> None:
    refused(response, 503, "storage_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


def test_without_the_database_requests_are_told_to_come_back_later(
    service: Service, postgres: EmbeddedPostgres, customer: Customer
) -> None:
    id = customer.created()
    postgres.stop()
    for response in (
        customer.create(),
        customer.get(id),
        customer.complete(id),
        customer.client.get("/api/v1/sessions"),
        service.admin.get(f"/api/v1/customers/{customer.id}"),
        service.admin.put(f"/api/v1/customers/{customer.id}", json={"plan": "pro"}),
        service.admin.get("/api/v1/plans"),
        service.key("tg_" + "0" * 32 + "_" + "x" * 43).get("/api/v1/plans"),
        service.anyone.get("/readyz"),
    ):
        unavailable(response)
    assert service.anyone.get("/healthz").status_code == 200
    assert service.anyone.get("/openapi.json").status_code == 200


def test_when_the_database_is_back_the_service_recovers_by_itself(service: Service, postgres: EmbeddedPostgres, customer: Customer) -> None:
    id = customer.created()
    postgres.stop()
    unavailable(customer.create())
    postgres.start()
    until(lambda: service.anyone.get("/readyz").status_code == 200, expected="the service to be ready again")
    assert customer.get(id).status_code == 200
    assert customer.create().status_code == 201
    assert customer.used("sessions") == 2


@pytest.mark.parametrize("stop", [lambda postgres, _: postgres.stop(), kill_9], ids=["stopped", "killed"])
def test_under_traffic_every_answer_is_yes_or_come_back_later_and_every_yes_was_booked(
    service: Service, postgres: EmbeddedPostgres, customer: Customer, data_dir: Path, stop: object
) -> None:
    assert callable(stop)
    with Traffic(customer) as traffic:
        traffic.until(201)
        stop(postgres, data_dir)
        traffic.until(503)
        postgres.start()
        traffic.until(201)
    assert set(traffic.statuses) == {201, 503}
    traffic.is_right()


def test_connections_that_the_database_closes_under_traffic_cost_at_most_a_try(
    service: Service, postgres: EmbeddedPostgres, customer: Customer
) -> None:
    close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'tollgate'"
    with Traffic(customer) as traffic:
        for _ in range(40):
            service.database.rows(close)
        traffic.until(201)
    assert set(traffic.statuses) <= {201, 503}
    assert service.anyone.get("/readyz").status_code == 200


def test_a_database_that_lets_nobody_in_is_an_outage_too(service: Service, customer: Customer) -> None:
    others = Database(make_url(service.database.url).set(database="postgres").render_as_string(hide_password=False))
    others.rows("ALTER DATABASE tollgate ALLOW_CONNECTIONS false")
    try:
        others.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tollgate'")
        for _ in range(3):
            unavailable(customer.create())
            unavailable(service.anyone.get("/readyz"))
    finally:
        others.rows("ALTER DATABASE tollgate ALLOW_CONNECTIONS true")
    assert customer.create().status_code == 201


def test_an_outage_loses_no_idempotency(postgres: EmbeddedPostgres, customer: Customer) -> None:
    first = customer.create("once")
    postgres.stop()
    unavailable(customer.create("once"))
    unavailable(customer.create("twice"))
    postgres.start()
    until(lambda: customer.service.anyone.get("/readyz").status_code == 200, expected="the service to have recovered")
    assert customer.create("once").content == first.content
    assert customer.create("twice").status_code == 201
    assert customer.used("sessions") == 2


def test_a_frozen_database_holds_nobody_up_for_long(customer: Customer, data_dir: Path) -> None:
    """The connections stay open and nothing comes back, as behind a failing network."""
    server = psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.suspend()
    time.sleep(FRESH_SECONDS)  # what was true before it froze is told for so long
    try:
        begin = time.monotonic()
        ready = customer.service.anyone.get("/readyz", timeout=60)
        took = time.monotonic() - begin
    finally:
        for process in processes:
            process.resume()
    unavailable(ready)
    assert took < 10
