"""Finds what the clock has brought about, and has it told: reservations and grants that ended, plans that took effect."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.take_effect import TakeEffectCommand
from core.errors import DomainError
from core.metering.note_expiry import NoteExpiryCommand
from core.metering.note_grant import NoteGrantCommand
from core.metering.reserve_usage import Reserved
from core.metering.use_case import Call, UseCase
from infrastructure.logs.withheld import described
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import HotStatement

BITE: Final = 200
EVERY_SECONDS: Final = 20.0
CLOCK: Final = "clock"
"""Who changed what a time that came has changed."""

logger = logging.getLogger("tollgate")

_HOLDS: Final = HotStatement(
    """
    SELECT h.customer_id, h.reservation_id AS id
    FROM usage_hold AS h
    WHERE h.expires_at <= :at
      AND (CAST(:after AS text) IS NULL OR (h.customer_id COLLATE "C", h.reservation_id) > (:after COLLATE "C", CAST(:after_id AS uuid)))
      AND NOT EXISTS (
          SELECT 1 FROM outbox_event AS o
          WHERE o.customer_id = h.customer_id AND o.once = 'reservation.expired:' || CAST(h.reservation_id AS text)
      )
    GROUP BY h.customer_id, h.reservation_id
    ORDER BY h.customer_id COLLATE "C", h.reservation_id LIMIT :rows
    """
)

_GRANTS: Final = """
    SELECT g.customer_id, g.id
    FROM usage_grant AS g
    WHERE g.voided_at IS NULL AND g.kind <> 'rollover' AND {due}
      AND (CAST(:after AS text) IS NULL OR (g.customer_id COLLATE "C", g.id) > (:after COLLATE "C", CAST(:after_id AS uuid)))
      AND NOT EXISTS (
          SELECT 1 FROM outbox_event AS o WHERE o.customer_id = g.customer_id AND o.once = '{type}:' || CAST(g.id AS text)
      )
    ORDER BY g.customer_id COLLATE "C", g.id LIMIT :rows
"""

_EXPIRED: Final = HotStatement(
    _GRANTS.format(type="grant.expired", due="g.expires_at <= :at AND g.expires_at > CAST(:at AS timestamptz) - interval '35 days'")
)

_EXPIRING: Final = HotStatement(
    _GRANTS.format(
        type="grant.expiring",
        due="""g.expires_at > :at AND g.expires_at <= CAST(:at AS timestamptz) + interval '7 days' AND g.effective_at <= :at
          AND g.effective_at + (g.expires_at - g.effective_at) / 2 <= :at""",
    )
)

_SCHEDULED: Final = HotStatement(
    """
    SELECT customer_id, CAST(NULL AS uuid) AS id FROM customer
    WHERE (agreement -> 'scheduled') IS NOT NULL AND CAST(agreement -> 'scheduled' ->> 'effective_at' AS timestamptz) <= :at
      AND (CAST(:after AS text) IS NULL OR customer_id COLLATE "C" > :after)
    ORDER BY customer_id COLLATE "C" LIMIT :rows
    """
)


class TakesEffect(Protocol):
    """Writes down what the clock has brought about for a customer."""

    async def execute(self, command: TakeEffectCommand) -> Customer: ...


class SqlClockEvents:
    """Runs beside the service, in every process: what was told by another one is not told again.

    No decision depends on it: decisions go by the clock.
    """

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        note_expiry: UseCase[NoteExpiryCommand, Reserved],
        note_grant: UseCase[NoteGrantCommand, bool],
        take_effect: Callable[[], TakesEffect],
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._note_expiry = note_expiry
        self._note_grant = note_grant
        self._take_effect = take_effect

    async def run(self) -> None:
        """Tells for ever, at random moments, so that processes do not look all at once."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVERY_SECONDS)
            try:
                await self.tell()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                logger.warning("Telling what the clock has brought about was put off: %s", described(error))

    async def tell(self) -> int:
        """Has told what is due now, and says how many things were looked at."""
        return sum(
            [
                await self._bites(_SCHEDULED, self._changes),
                await self._bites(_HOLDS, self._reservations),
                await self._bites(_EXPIRED, self._grants),
                await self._bites(_EXPIRING, self._grants),
            ]
        )

    async def _bites(self, due: HotStatement, told: Callable[[Sequence[Any]], Awaitable[None]]) -> int:
        now, found = self._clock(), 0
        asked: dict[str, Any] = {"after": None, "after_id": None, "rows": BITE, "at": now}
        while True:
            rows = await self._connections.ask(lambda driver: due.fetch(driver, asked))
            if rows:
                await told(rows)
                asked["after"], asked["after_id"] = rows[-1]
            found += len(rows)
            if len(rows) < BITE:
                return found

    async def _reservations(self, rows: Sequence[Any]) -> None:
        await self._note_expiry.execute([Call(NoteExpiryCommand(customer_id, id)) for customer_id, id in rows])

    async def _grants(self, rows: Sequence[Any]) -> None:
        await self._note_grant.execute([Call(NoteGrantCommand(customer_id, id)) for customer_id, id in rows])

    async def _changes(self, rows: Sequence[Any]) -> None:
        for customer_id, _ in rows:
            try:
                await self._take_effect().execute(TakeEffectCommand(customer_id=customer_id, changed_by=CLOCK))
            except DomainError as refusal:
                logger.info("A scheduled change was not written down: %s", type(refusal).__name__)
