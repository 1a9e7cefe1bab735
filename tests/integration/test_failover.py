"""The database goes away in strange ways: connections that swallow everything, a primary that only reads, a restart while all is idle."""

import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.sql.upkeep.lost_connections import BETWEEN_LOOKS_SECONDS, LONG_SECONDS
from tests.integration.coaching import Customer, at_once
from tests.integration.conftest import start_quickly
from tests.integration.postgres_proxy import Fault, PostgresProxy
from tests.integration.service import Database, Service, refused, until
from tests.integration.traffic import UNLIMITED, Traffic

DECISIONS_GO_ON_SECONDS = 10
WRITABLE_SECONDS = 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        postgres = EmbeddedPostgres(Path(name))
        start_quickly(postgres)
        yield postgres
        postgres.stop()


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> str:
    url = postgres.running_url()
    assert url
    return url


@pytest.fixture(scope="module")
def proxy(url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def service(proxy: PostgresProxy) -> Iterator[Service]:
    with Service(proxy.url, arguments=["--migrate"]) as service:
        yield service


@pytest.fixture
def customer(service: Service) -> Customer:
    until(lambda: service.anyone.get("/readyz").status_code == 200, expected="the service to have recovered")
    assert service.admin.put("/api/v1/plans/unlimited", json=UNLIMITED).status_code in (200, 201)
    return Customer.new(service, "unlimited")


def decided_after(customer: Customer) -> float:
    """Seconds until a decision is made."""
    begin = time.monotonic()
    until(lambda: customer.create().status_code == 201, expected="a decision")
    return time.monotonic() - begin


def test_where_idle_connections_swallow_everything_nobody_even_notices(proxy: PostgresProxy, customer: Customer) -> None:
    """Several of them, which are not to be found out one after the other."""
    at_once(*[customer.create] * 6, *[lambda: customer.client.get("/api/v1/sessions")] * 6)
    proxy.suffer(Fault.FREEZE)
    begin = time.monotonic()
    answers = at_once(customer.create, lambda: customer.client.get("/api/v1/sessions"), lambda: customer.service.admin.get("/api/v1/plans"))
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert time.monotonic() - begin < DECISIONS_GO_ON_SECONDS
    assert customer.used("sessions") == 7


def test_where_busy_connections_swallow_everything_decisions_go_on(proxy: PostgresProxy, customer: Customer) -> None:
    """What is under way fails, or nobody knows whether it does; and its locks do not stop the next one."""
    with Traffic(customer, threads=8) as traffic:
        traffic.until(201)
        proxy.suffer(Fault.FREEZE)
        frozen = time.monotonic()
        traffic.until(201, more=50)
        took = time.monotonic() - frozen
    assert took < DECISIONS_GO_ON_SECONDS
    traffic.is_right()


def test_a_connection_that_waits_for_a_lock_is_not_taken_for_lost(customer: Customer, url: str) -> None:
    """The database is at work on it, for longer than it takes to find a lost one."""
    customer.create()
    held = "SELECT FROM usage_counter WHERE customer_id = $1 FOR UPDATE"
    with locking(url, held, customer.id) as release, Traffic(customer, threads=1) as traffic:
        time.sleep(LONG_SECONDS + BETWEEN_LOOKS_SECONDS + 2)
        assert not traffic.answers
        release()
        traffic.until(201)
    assert set(traffic.statuses) == {201}


@contextmanager
def locking(url: str, statement: str, *values: object) -> Iterator[Callable[[], None]]:
    """A session elsewhere that has asked this and goes on holding what it locked. Yields what ends it."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute("BEGIN"))
        runner.run(connection.fetch(statement, *values))
        yield lambda: runner.run(connection.close())


def copied(postgres: EmbeddedPostgres, url: str, to: str) -> str:
    """The other server's address, when it has the same in it."""
    dump = subprocess.run([postgres.programs() / "pg_dump", "-Fc", "-d", url], check=True, capture_output=True).stdout
    subprocess.run([postgres.programs() / "pg_restore", "-d", to], input=dump, check=True)
    return to


def read_only(database: Database, value: str) -> None:
    database.rows(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    database.rows("SELECT pg_reload_conf()")
    database.rows("SELECT pg_sleep(0.2)")


def test_a_primary_that_only_reads_is_left_for_one_that_writes(
    postgres: EmbeddedPostgres, proxy: PostgresProxy, customer: Customer, url: str
) -> None:
    """Its connections stay open, as those to a primary that was demoted may: they are not kept."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        copy = EmbeddedPostgres(Path(name))
        try:
            successor = copied(postgres, url, start_quickly(copy))
            at_once(*[customer.create] * 6)
            read_only(Database(url), "on")
            refused(customer.create(), 503, "storage_unavailable")
            until(lambda: customer.service.anyone.get("/readyz").status_code == 503, 2, "/readyz to say that nothing can be written")
            assert customer.client.get("/api/v1/sessions").status_code == 200
            proxy.lead_to(successor)
            assert decided_after(Customer.new(customer.service)) < WRITABLE_SECONDS
            assert Database(successor).value("SELECT count(*) FROM customer") == Database(url).value("SELECT count(*) FROM customer") + 1
        finally:
            read_only(Database(url), "off")
            proxy.lead_to(url)
            copy.stop()


def test_a_process_that_only_reads_leaves_a_demoted_primary_too(proxy: PostgresProxy, customer: Customer, url: str) -> None:
    """It would tell for ever what was true once: nothing that it asks fails."""
    assert customer.client.get("/api/v1/sessions").status_code == 200
    before = proxy.opened
    read_only(Database(url), "on")
    try:
        until(lambda: proxy.opened > before, WRITABLE_SECONDS, "new connections")
    finally:
        read_only(Database(url), "off")


def test_the_first_request_after_a_restart_is_answered(postgres: EmbeddedPostgres, customer: Customer) -> None:
    id = customer.created()
    for read in (
        lambda: customer.get(id),
        lambda: customer.client.get("/api/v1/sessions"),
        lambda: customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage"),
        lambda: customer.service.admin.get("/api/v1/plans"),
        customer.create,
    ):
        at_once(*[read] * 4)
        postgres.stop()
        postgres.start()
        assert read().status_code in (200, 201)


def test_an_outage_is_told_when_it_begins_and_when_it_ends_and_counted_by_kind(
    postgres: EmbeddedPostgres, service: Service, customer: Customer
) -> None:
    told = len(service.errors)
    postgres.stop()
    refused(customer.create(), 503, "storage_unavailable")
    refused(customer.create(), 503, "storage_unavailable")
    postgres.start()
    until(lambda: "The database is back" in service.errors[told:], 10, "the end of the outage in the log")
    lines = [line for line in service.errors[told:].splitlines() if "The database is" in line]
    assert len(lines) == 2, lines
    began, ended = lines
    assert "The database is away (" in began
    assert " s." in ended
    counted = service.admin.get("/metrics").text
    assert re.search(r'tollgate_database_outages_total\{cause="(unreachable|connection_lost|closed)"\} [1-9]', counted), counted
