"""Instants reach the database and come back as they were, whatever their time zone and century."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.plans.periods import BEGINNING, END
from infrastructure.sql.driver.instants import EPOCH, MICROSECOND
from infrastructure.sql.driver.pool import create_engine

INSTANTS = (
    EPOCH,
    EPOCH - MICROSECOND,
    EPOCH + MICROSECOND,
    BEGINNING,
    END,
    datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
    datetime(2026, 11, 21, 12, 30, 15, 123_456, UTC),
    datetime(2026, 11, 21, 12, 30, 15, 123_456, timezone(timedelta(hours=-9, minutes=-30))),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
)

AS_TEXT = text(
    """
    SELECT at, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US') AS written
    FROM unnest(CAST(:instants AS timestamptz[])) WITH ORDINALITY AS sent (at, n) ORDER BY n
    """
)


async def test_instants_are_sent_and_read_as_they_are(database_url: str) -> None:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        rows = (await connection.execute(AS_TEXT, {"instants": list(INSTANTS)})).all()
    await engine.dispose()

    in_utc = [instant.astimezone(UTC) for instant in INSTANTS]
    assert [row.written for row in rows] == [instant.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") for instant in in_utc]
    assert [row.at for row in rows] == in_utc
    assert {row.at.tzinfo for row in rows} == {UTC}


async def test_an_instant_without_a_time_zone_is_refused(database_url: str) -> None:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(AS_TEXT, {"instants": [datetime(2026, 11, 21)]})
    await engine.dispose()
