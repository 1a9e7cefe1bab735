"""Keeps rollups of the ledger beside the service: docs/architecture/history.md tells why no record is ever missed."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from core.clock import Clock
from core.errors import ConcurrentUpdate, DomainError
from core.metering.meters import Meter
from core.plans.periods import BEGINNING
from core.reconciliation.drift import Drift, Rollups
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.cover import DAY, GRAINS, HOUR, QUARTER, floor
from infrastructure.sql.engine.ledger import SUM_MAX

EVERY_SECONDS: Final = 10.0
OPEN_FOR: Final = timedelta(minutes=10)
"""How old a quarter hour is before it is closed: nearly all records are booked by then, and mark nothing."""
DUE_RECORDS: Final = 2_000
"""So many records of closed time are summed from the ledger before they are rolled up: customers who use less pay for no rollups."""
LOOKED_AT: Final = 1_000
"""So many counters are looked at in one round."""
STALE_METERS: Final = 200
"""The stale quarter hours of so many meters are mended in one round."""
SPAN_RECORDS: Final = 50_000
"""So many records, or one quarter hour, are rolled up in one transaction."""

logger = logging.getLogger("tollgate")

_LOOK: Final = HotStatement(
    """
    SELECT counter.customer_id, counter.feature, due.is_due IS NOT NULL AS is_due
    FROM (
        SELECT customer_id, feature, closed_until FROM usage_counter
        WHERE (customer_id, feature) > (:customer_id, :feature) ORDER BY customer_id, feature LIMIT :limit
    ) AS counter
    LEFT JOIN usage_rollup_state AS s
        ON s.customer_id = counter.customer_id AND s.feature = counter.feature AND counter.closed_until IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT TRUE AS is_due FROM usage_record AS r
        WHERE r.customer_id = counter.customer_id AND r.feature = counter.feature
          AND r.occurred_at >= coalesce(s.rolled_until, CAST(:beginning AS timestamptz)) AND r.occurred_at < :horizon
        ORDER BY r.occurred_at OFFSET :due LIMIT 1
    ) AS due ON TRUE
    ORDER BY counter.customer_id, counter.feature
    """
)
_MARKED: Final = HotStatement("SELECT DISTINCT customer_id, feature FROM usage_rollup_stale LIMIT :limit")

_BEGIN_STATE: Final = HotStatement(
    """
    INSERT INTO usage_rollup_state (customer_id, feature, rolled_until)
    SELECT c.customer_id, c.feature, CAST(:beginning AS timestamptz)
    FROM usage_counter AS c WHERE c.customer_id = :customer_id AND c.feature = :feature
    ON CONFLICT (customer_id, feature) DO NOTHING
    """
)
_LOCK_STATE: Final = HotStatement(
    """
    SELECT s.rolled_until FROM usage_rollup_state AS s JOIN customer AS c USING (customer_id)
    WHERE s.customer_id = :customer_id AND s.feature = :feature
    FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF c
    """
)
_LOCK_COUNTER: Final = HotStatement(
    "SELECT closed_until FROM usage_counter WHERE customer_id = :customer_id AND feature = :feature FOR NO KEY UPDATE"
)
_CLOSE: Final = HotStatement(
    "UPDATE usage_counter SET closed_until = :until WHERE customer_id = :customer_id AND feature = :feature RETURNING 1"
)
_CLOSED_UNTIL: Final = HotStatement("SELECT closed_until FROM usage_counter WHERE customer_id = :customer_id AND feature = :feature")
_ROLLED: Final = HotStatement(
    "UPDATE usage_rollup_state SET rolled_until = :until WHERE customer_id = :customer_id AND feature = :feature RETURNING 1"
)
_SPAN: Final = HotStatement(
    """
    SELECT occurred_at FROM usage_record
    WHERE customer_id = :customer_id AND feature = :feature AND occurred_at >= :first AND occurred_at < :last
    ORDER BY occurred_at OFFSET :records LIMIT 1
    """
)
_MARK: Final = HotStatement(
    """
    INSERT INTO usage_rollup_stale (customer_id, feature, start, id)
    SELECT CAST(:customer_id AS text), CAST(:feature AS text), wanted.start, CAST(:id AS uuid)
    FROM unnest(CAST(:starts AS timestamptz[])) AS wanted (start)
    """
)
_TAKE_STALE: Final = HotStatement("DELETE FROM usage_rollup_stale WHERE customer_id = :customer_id AND feature = :feature RETURNING start")
_DROP: Final = HotStatement(
    """
    DELETE FROM usage_rollup
    WHERE customer_id = :customer_id AND feature = :feature AND grain_seconds = CAST(:grain_seconds AS integer)
      AND start >= :first AND start < :last
    """
)
_FROM_LEDGER: Final = HotStatement(
    f"""
    INSERT INTO usage_rollup (customer_id, feature, grain_seconds, start, dimension, quantity)
    SELECT customer_id, feature, CAST(:grain_seconds AS integer),
        date_bin(CAST(:grain AS interval), occurred_at, TIMESTAMPTZ '2000-01-01 00:00:00+00'),
        coalesce(dimension, ''), CAST(least(sum(quantity), {SUM_MAX}) AS bigint)
    FROM usage_record
    WHERE customer_id = :customer_id AND feature = :feature AND occurred_at >= :first AND occurred_at < :last
    GROUP BY 1, 2, 4, 5
    """
)
_FROM_FINER: Final = HotStatement(
    f"""
    INSERT INTO usage_rollup (customer_id, feature, grain_seconds, start, dimension, quantity)
    SELECT customer_id, feature, CAST(:grain_seconds AS integer),
        date_bin(CAST(:grain AS interval), start, TIMESTAMPTZ '2000-01-01 00:00:00+00'),
        dimension, CAST(least(sum(quantity), {SUM_MAX}) AS bigint)
    FROM usage_rollup
    WHERE customer_id = :customer_id AND feature = :feature AND grain_seconds = :finer_seconds AND start >= :first AND start < :last
    GROUP BY 1, 2, 4, 5
    """
)
_FINER: Final = {DAY: HOUR, HOUR: QUARTER}


class SqlRoller(Rollups):
    """Runs beside the service, in every process. Nothing depends on it but how long sums take."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        new_id: Callable[[], UUID],
        due_records: int = DUE_RECORDS,
        span_records: int = SPAN_RECORDS,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._new_id = new_id
        self._due_records = due_records
        self._span_records = span_records
        self._after = ("", "")

    async def run(self) -> None:
        """For ever, at a random moment of each round, so that processes do not all look at once."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVERY_SECONDS)
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                logger.warning("Rolling up was put off: %r", error)

    async def round(self) -> int:
        """Mends what is stale, and rolls up what is due of the next counters; says how many meters that was about."""
        marked = await self._connections.ask(lambda driver: _MARKED.fetch(driver, {"limit": STALE_METERS}))
        looked = await self._look()
        due = dict.fromkeys([Meter(*row) for row in marked] + looked)
        for meter in due:
            try:
                await self.roll(meter)
            except (ConcurrentUpdate, DomainError) as error:
                logger.info("Rolling up %s of %s was put off: %r", meter.feature, meter.customer_id, error)
        return len(due)

    async def roll(self, meter: Meter) -> bool:
        """Mends what is stale of the meter, closes the time that is old enough, and rolls it up. False: another process is at it."""
        if not await self._connections.ask(partial(self._close, meter=meter)):
            return False
        while True:
            more = await self._connections.ask(partial(self._roll_span, meter=meter))
            if more is None:
                return False
            if not more:
                return True

    async def mend(self, drift: Sequence[Drift]) -> None:
        for meter in dict.fromkeys(Meter(item.customer_id, item.feature) for item in drift):
            starts = {
                item.period.start + n * QUARTER
                for item in drift
                if (item.customer_id, item.feature) == meter
                for n in range((item.period.end - item.period.start) // QUARTER)
            }
            parameters = {"customer_id": meter.customer_id, "feature": meter.feature, "starts": sorted(starts), "id": self._new_id()}
            await self._connections.ask(partial(_MARK.fetch, parameters=parameters))
            await self.roll(meter)

    async def _look(self) -> list[Meter]:
        customer_id, feature = self._after
        parameters = {
            "customer_id": customer_id,
            "feature": feature,
            "limit": LOOKED_AT,
            "beginning": BEGINNING,
            "horizon": self._horizon(),
            "due": self._due_records,
        }
        rows = await self._connections.ask(lambda driver: _LOOK.fetch(driver, parameters))
        self._after = (rows[-1]["customer_id"], rows[-1]["feature"]) if len(rows) == LOOKED_AT else ("", "")
        return [Meter(row["customer_id"], row["feature"]) for row in rows if row["is_due"]]

    def _horizon(self) -> datetime:
        return floor(self._clock() - OPEN_FOR, QUARTER)

    async def _close(self, driver: Driver, meter: Meter) -> bool:
        """From its commit on, whoever books something into the closed time marks it, since all of them lock the counter.

        A counter without a mark has been locked by a release that marks nothing: what has been rolled up does not count any more.
        """
        of = {"customer_id": meter.customer_id, "feature": meter.feature}
        async with driver.transaction():
            await _BEGIN_STATE.fetch(driver, {**of, "beginning": BEGINNING})
            if not await _LOCK_STATE.fetch(driver, of):
                return False
            (row,) = await _LOCK_COUNTER.fetch(driver, of)
            closed_until: datetime | None = row["closed_until"]
            if closed_until is None:
                await _ROLLED.fetch(driver, {**of, "until": BEGINNING})
            if closed_until is None or closed_until < self._horizon():
                await _CLOSE.fetch(driver, {**of, "until": self._horizon()})
        return True

    async def _roll_span(self, driver: Driver, meter: Meter) -> bool | None:
        """Whether there is more to roll up; None: another process has the lock. It sees all that was booked before the time was closed."""
        of = {"customer_id": meter.customer_id, "feature": meter.feature}
        async with driver.transaction(isolation="repeatable_read"):
            locked = await _LOCK_STATE.fetch(driver, of)
            closed = await _CLOSED_UNTIL.fetch(driver, of)
            if not locked or not closed or closed[0]["closed_until"] is None:
                return None
            rolled_until: datetime = locked[0]["rolled_until"]
            closed_until: datetime = closed[0]["closed_until"]
            starts = {row["start"] for row in await _TAKE_STALE.fetch(driver, of)}
            for grain in reversed(GRAINS):
                for start in sorted({floor(start, grain) for start in starts if floor(start, grain) + grain <= rolled_until}):
                    await self._make(driver, of, grain, start, start + grain)
            if rolled_until >= closed_until:
                return False
            until = await self._span_end(driver, of, rolled_until, closed_until)
            for grain in reversed(GRAINS):
                await self._make(driver, of, grain, floor(rolled_until, grain), floor(until, grain))
            await _ROLLED.fetch(driver, {**of, "until": until})
        return until < closed_until

    async def _span_end(self, driver: Driver, of: dict[str, Any], first: datetime, last: datetime) -> datetime:
        found = await _SPAN.fetch(driver, {**of, "first": first, "last": last, "records": self._span_records})
        if not found:
            return last
        start = floor(found[0]["occurred_at"], QUARTER)
        return start if start > first else min(start + QUARTER, last)

    async def _make(self, driver: Driver, of: dict[str, Any], grain: timedelta, first: datetime, last: datetime) -> None:
        """Makes the rollups of one grain anew, from the next finer ones, or from the ledger."""
        if first >= last:
            return
        wanted = {**of, "grain": grain, "grain_seconds": int(grain.total_seconds()), "first": first, "last": last}
        await _DROP.fetch(driver, wanted)
        finer = _FINER.get(grain)
        if finer is None:
            await _FROM_LEDGER.fetch(driver, wanted)
        else:
            await _FROM_FINER.fetch(driver, {**wanted, "finer_seconds": int(finer.total_seconds())})
