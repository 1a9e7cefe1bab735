"""Everything that is stored, in one list: a unit of work takes its repositories from it, and reconciliation its evidence.

A product of your own is a line of it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from core.metering.journal import Journal
from core.metering.owned import OwnedReader
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.owned import OwnedKind
from infrastructure.sql.driver.statements import Driver
from infrastructure.sql.driver.stored import Stored, Written
from infrastructure.sql.engine.customers import SqlCustomers
from infrastructure.sql.engine.event_types import SqlEventTypes
from infrastructure.sql.engine.grants import SqlGrants
from infrastructure.sql.engine.ledger import SqlEvents, SqlRecords
from infrastructure.sql.engine.outbox import SqlOutbox
from infrastructure.sql.engine.replies import SqlReplies
from infrastructure.sql.engine.reservations import SqlReservations
from infrastructure.sql.engine.service_keys import SqlServiceKeys
from infrastructure.sql.engine.terms import SqlTermsChanges
from infrastructure.sql.products import conversations, learning, operations, sessions
from infrastructure.sql.upkeep.drift import SqlMissing, missing_sql

STORED: Final = (
    Stored(
        {
            "customers": SqlCustomers,
            "terms": SqlTermsChanges,
            "service_keys": SqlServiceKeys,
            "replies": SqlReplies,
            "reservations": SqlReservations,
            "records": SqlRecords,
            "grants": SqlGrants,
            "events": SqlEvents,
            "event_types": SqlEventTypes,
            "outbox": SqlOutbox,
        }
    ),
    sessions.STORED,
    learning.STORED,
    operations.STORED,
    conversations.STORED,
)

OWNED: Final[tuple[OwnedKind[Any], ...]] = ()
"""Kinds of things that are kept just as they are."""

EVIDENCE: Final = tuple(
    evidence for evidence in (*(stored.evidence for stored in STORED), *(owned.evidence for owned in OWNED)) if evidence is not None
)

REPOSITORIES: Final[Mapping[str | type[Any], Callable[[Journal, Driver], Written]]] = {
    **{name: repository for stored in STORED for name, repository in stored.repositories.items()},
    **{owned.kind: owned.repository for owned in OWNED},
    "missing": partial(SqlMissing, missing_sql(EVIDENCE)),
}

READERS: Final[Mapping[type[Any], Callable[[Connections], OwnedReader[Any]]]] = {owned.kind: owned.reader for owned in OWNED}
