"""Behind PgBouncer, which hands each transaction to whichever of its connections is free."""

import asyncio

from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.driver.pooler import Pooler, Statements, pooler_at
from tests.integration.pgbouncer import needs_pgbouncer, pooling, version


async def test_a_server_of_its_own_is_no_pooler(database_url: str) -> None:
    assert await pooler_at(database_url) is Pooler.NONE


@needs_pgbouncer
async def test_a_pooler_is_known_by_what_it_does_with_names(database_url: str) -> None:
    keeps = version() >= (1, 21)
    with pooling(database_url) as url:
        assert await pooler_at(url) is (Pooler.KEEPS_STATEMENTS if keeps else Pooler.FORGETS_STATEMENTS)
    if keeps:
        with pooling(database_url, max_prepared_statements=0) as url:
            assert await pooler_at(url) is Pooler.FORGETS_STATEMENTS


@needs_pgbouncer
async def test_unnamed_statements_pass_any_pooler(database_url: str) -> None:
    with pooling(database_url) as url:
        engine = create_engine(url, statements=Statements.UNNAMED)
        connections = Connections(engine)

        async def ask(number: int) -> int:
            answer: int = await connections.ask(lambda driver: driver.fetchval("SELECT $1::int + $2::int", number, 1))
            return answer

        for _ in range(20):
            assert await asyncio.gather(*map(ask, range(8))) == list(range(1, 9))
        await connections.close()
        await engine.dispose()
