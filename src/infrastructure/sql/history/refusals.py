"""Refusals in PostgreSQL: noted beside the answer, and written by a task of their own, so that no decision waits for it."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from asyncpg import Record
from prometheus_client import Counter
from sqlalchemy import Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSON

from core.clock import Clock
from core.errors import ConcurrentUpdate, DomainError
from core.history.refusals import Refusal, RefusalKind, RefusalQuery, RefusalReader
from core.plans.periods import BEGINNING, END
from infrastructure.logs.withheld import described
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.reader import of_customer
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

QUEUED_MAX: Final = 10_000
WRITTEN_MAX: Final = 500
"""In one statement."""
GATHERED_SECONDS: Final = 0.2
"""So long the first one waits for others."""
PUT_OFF_SECONDS: Final = 1.0

DROPPED: Final = Counter("tollgate_refusals_dropped", "Refusals that are not kept, since too many waited to be written or it failed.")

logger = logging.getLogger("tollgate")

refusal: Final = Table(
    "refusal",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("feature", Text),
    Column("error", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_refusal_newest", "customer_id", text("at DESC"), text("id DESC")),
    Index("ix_refusal_at", "at"),
)

# The customer's row is held, so that whoever deletes the customer meanwhile waits, and then finds these rows, too.
_WRITE: Final = HotStatement(
    """
    WITH known AS MATERIALIZED (
        SELECT customer_id FROM customer WHERE customer_id = ANY(CAST(:customer_ids AS text[])) ORDER BY customer_id FOR KEY SHARE
    )
    INSERT INTO refusal (customer_id, id, at, request_id, operation, kind, feature, error, message, facts)
    SELECT sent.* FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:ids AS uuid[]), CAST(:times AS timestamptz[]), CAST(:request_ids AS text[]),
        CAST(:operations AS text[]), CAST(:kinds AS text[]), CAST(:features AS text[]), CAST(:errors AS text[]),
        CAST(:messages AS text[]), CAST(:facts AS json[])
    ) AS sent (customer_id, id, at, request_id, operation, kind, feature, error, message, facts)
    JOIN known USING (customer_id)
    ON CONFLICT (customer_id, id) DO NOTHING
    """
)
_NEWEST: Final = HotStatement(
    """
    SELECT * FROM refusal
    WHERE customer_id = :customer_id AND at >= :since
      AND (at, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
      AND (CAST(:feature AS text) IS NULL OR feature = :feature)
      AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    ORDER BY at DESC, id DESC LIMIT :limit
    """
)

_FIRST_ID: Final = UUID(int=0)
_END: Final = (END, UUID(int=2**128 - 1))


Told: TypeAlias = Callable[[], Mapping[str, Any]]
"""Makes what the caller is told: the code as `error`, the `message`, and the facts as JSON. It is made when it is written."""


class Noted(NamedTuple):
    """A refusal that waits to be written."""

    customer_id: str
    id: UUID
    at: datetime
    request_id: str
    operation: str
    kind: RefusalKind
    told: Told


class SqlRefusals(RefusalReader):
    """A process's. What was noted in the last second before a crash is lost, and so is what comes while too many wait."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        new_id: Callable[[], UUID],
        queued_max: int = QUEUED_MAX,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._new_id = new_id
        self._queued_max = queued_max
        self._queue: deque[Noted] = deque()
        self._any = asyncio.Event()

    def note(self, customer_id: str, request_id: str, operation: str, told: Told, *, asked: bool = False) -> None:
        """Keeps the refusal. Waits for nothing, and never fails."""
        if len(self._queue) >= self._queued_max:
            DROPPED.inc()
            return
        kind = RefusalKind.ASKED if asked else RefusalKind.REFUSED
        self._queue.append(Noted(customer_id, self._new_id(), self._clock(), request_id, operation, kind, told))
        self._any.set()

    async def run(self) -> None:
        """Writes for ever what is noted, soon after."""
        while True:
            await self._any.wait()
            await asyncio.sleep(GATHERED_SECONDS)
            if not await self.write():
                await asyncio.sleep(PUT_OFF_SECONDS)

    async def write(self) -> bool:
        """Writes what was noted until now. False: the storage was not to be had, and it waits for the next time."""
        self._any.clear()
        while self._queue:
            noted = [self._queue.popleft() for _ in range(min(len(self._queue), WRITTEN_MAX))]
            try:
                await self._connections.ask(partial(_WRITE.fetch, parameters=self._rows(noted)))
            except (DomainError, ConcurrentUpdate):
                self._put_back(noted)
                return False
            except asyncio.CancelledError:
                self._put_back(noted)
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, those that come after are written
                DROPPED.inc(len(noted))
                logger.warning("%d refusals are not kept: %s", len(noted), described(error))
        return True

    async def newest(self, query: RefusalQuery) -> Sequence[Refusal]:
        before_at, before_id = min(query.before or _END, (query.until, _FIRST_ID) if query.until else _END)
        parameters = {
            "customer_id": query.customer_id,
            "feature": query.feature,
            "kind": query.kind,
            "since": query.since or BEGINNING,
            "before_at": before_at,
            "before_id": before_id,
            "limit": query.limit,
        }
        return [_to_refusal(row) for row in await of_customer(self._connections, _NEWEST, parameters)]

    def _put_back(self, noted: Sequence[Noted]) -> None:
        self._queue.extendleft(reversed(noted))
        self._any.set()

    def _rows(self, noted: Sequence[Noted]) -> dict[str, list[Any]]:
        told = [dict(item.told()) for item in noted]
        return {
            "customer_ids": [item.customer_id for item in noted],
            "ids": [item.id for item in noted],
            "times": [item.at for item in noted],
            "request_ids": [item.request_id for item in noted],
            "operations": [item.operation for item in noted],
            "kinds": [item.kind.value for item in noted],
            "features": [detail.get("feature") for detail in told],
            "errors": [detail.pop("error") for detail in told],
            "messages": [detail.pop("message") for detail in told],
            "facts": [json.dumps(detail) for detail in told],
        }


def _to_refusal(row: Record) -> Refusal:
    return Refusal(
        customer_id=row["customer_id"],
        id=row["id"],
        at=row["at"],
        request_id=row["request_id"],
        operation=row["operation"],
        kind=RefusalKind(row["kind"]),
        feature=row["feature"],
        error=row["error"],
        message=row["message"],
        facts=row["facts"],
    )
