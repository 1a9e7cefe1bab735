"""A database that somebody changes behind the engine's back, and what mends it."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from core.plans.periods import Period
from core.sessions.create_session import CreateSessionCommand
from core.sessions.session import Session, SttProvider
from tests.integration.in_process import Engine
from tests.integration.service import Database
from tests.unit.fakes.calls import calls

NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), NOVEMBER.start)
AUGUST = Period(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))


class Behind(Database):
    """Changes what is stored behind the engine's back. From a thread of its own, since the test has an event loop already."""

    async def change(self, statement: str, *values: object) -> list[dict[str, object]]:
        return await asyncio.to_thread(self.rows, statement, *values)

    async def session(self, customer_id: str, created_at: datetime, seconds: int = 90) -> str:
        """A completed session that nobody booked."""
        id = uuid4()
        await self.change(
            """
            INSERT INTO coaching_session (customer_id, id, title, language, stt_provider, status, duration_seconds, created_at, finished_at)
            VALUES ($1, $2, 'Unbooked', 'en-US', 'auto', 'completed', $3, $4, $4)
            """,
            *(customer_id, id, seconds, created_at),
        )
        return str(id)

    async def ledger(self, customer_id: str, feature: str) -> list[tuple[object, ...]]:
        rows = await self.change(
            "SELECT * FROM usage_record WHERE customer_id = $1 AND feature = $2 ORDER BY occurred_at, id", customer_id, feature
        )
        return [(row["quantity"], row["occurred_at"], row["reference"], row["reason"]) for row in rows]


async def create_session(engine: Engine, customer_id: str) -> Session:
    command = CreateSessionCommand(
        customer_id=customer_id, title="Weekly", language="en-US", stt_provider=SttProvider.AUTO, recorded_by="test"
    )
    (session,) = await engine.container.create_session().execute(calls(command))
    assert isinstance(session, Session), session
    return session


async def repair(engine: Engine, *customer_ids: str) -> int:
    use_case = engine.container.reconcile()
    written: int = await use_case.repair(await use_case.find(customer_ids))
    return written
