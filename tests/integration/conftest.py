"""What the integration tests share: one PostgreSQL, a fresh database for each who asks, and a service for each file."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure import embedded_postgres
from infrastructure.sql.engine import create_engine
from infrastructure.sql.migrate import upgrade
from tests.integration.service import Databases, Service, serving


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    # Not pytest's own temporary directory: it is closed to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name, pytest.MonkeyPatch.context() as patch:
        # None of it has to survive a power failure, and creating and dropping databases is ten times as quick.
        patch.setattr(embedded_postgres, "SETTINGS", {**embedded_postgres.SETTINGS, "fsync": "off"})
        postgres = embedded_postgres.EmbeddedPostgres(Path(name))
        try:
            databases = Databases(postgres.start())
            asyncio.run(migrate(databases.template_url))
            yield databases
        finally:
            postgres.stop()


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


@pytest.fixture(scope="module")
def shared_database_url(databases: Databases) -> Iterator[str]:
    """A migrated database for the tests of one file."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture(scope="module")
def service(shared_database_url: str) -> Iterator[Service]:
    """A service for the tests of one file."""
    with serving(shared_database_url) as (service,):
        yield service


@pytest.fixture(scope="module")
def services(shared_database_url: str) -> Iterator[tuple[Service, Service]]:
    """Two services on one database, for the tests of one file."""
    with serving(shared_database_url, processes=2) as (one, other):
        yield one, other
