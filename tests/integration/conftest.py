"""What the integration tests share: one PostgreSQL, a fresh database for each who asks, and a service for each file."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infrastructure.embedded import postgres as embedded_postgres
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.upkeep.migrate import upgrade
from tests.integration.service import Databases, Service, serving
from tests.integration.units_of_work import FakeStorage, SqlStorage, Storage, connections_to
from tests.unit.fakes.metering import FakeStore


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    # Not pytest's own temporary directory: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        postgres = EmbeddedPostgres(Path(name))
        try:
            databases = Databases(start_quickly(postgres))
            asyncio.run(migrate(databases.template_url))
            yield databases
        finally:
            postgres.stop()


def start_quickly(postgres: EmbeddedPostgres) -> str:
    """What is in it does not have to survive a power failure, and databases are made and dropped ten times as quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded_postgres, "SETTINGS", {**embedded_postgres.SETTINGS, "fsync": "off"})
        return postgres.start()


async def migrate(url: str) -> None:
    engine = create_engine(url)
    await upgrade(engine)
    await engine.dispose()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A migrated database of the test's own."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[Connections]:
    async with connections_to(database_url) as connections:
        yield connections


@pytest.fixture
def fake_store() -> FakeStore:
    """What the fake stands on. A file about a product's ports has the product's own."""
    return FakeStore()


@pytest.fixture(params=["PostgreSQL", "fake"])
def storage(request: pytest.FixtureRequest, fake_store: FakeStore) -> Storage:
    """For what a port promises: every test runs on PostgreSQL and on the fake that the unit tests trust."""
    return FakeStorage(fake_store) if request.param == "fake" else SqlStorage(request.getfixturevalue("connections"))


@pytest.fixture(scope="session")
def shared_services(databases: Databases) -> Iterator[tuple[Service, Service]]:
    with serving(databases.fresh(), processes=2) as (one, other):
        yield one, other


@pytest.fixture(scope="module")
def services(shared_services: tuple[Service, Service]) -> tuple[Service, Service]:
    """Two services on one database, shared by all tests: what a test makes there has a name of its own."""
    return shared_services


@pytest.fixture(scope="module")
def service(services: tuple[Service, Service]) -> Service:
    """One of them."""
    return services[0]


@pytest.fixture(scope="module")
def own_service(databases: Databases) -> Iterator[Service]:
    """A service on a database that one file has for itself."""
    url = databases.fresh()
    with serving(url) as (service,):
        yield service
    databases.drop(url)
