"""Everything that is stored, in one list: a unit of work takes its repositories from it, and reconciliation its evidence.

A product of your own is a line of it.
"""

from collections.abc import Callable, Collection, Mapping
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
from infrastructure.sql.upkeep.migrate import ProductTables

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
)
"""What is always there: the engine's, and that of products of your own."""

PRODUCTS: Final[Mapping[str, Stored]] = {
    "sessions": sessions.STORED,
    "learning": learning.STORED,
    "operations": operations.STORED,
    "conversations": conversations.STORED,
}
"""The reference products, which can be switched off."""

OWNED: Final[tuple[OwnedKind[Any], ...]] = ()
"""Kinds of things that are kept just as they are."""

READERS: Final[Mapping[type[Any], Callable[[Connections], OwnedReader[Any]]]] = {owned.kind: owned.reader for owned in OWNED}


def evidence_of(products: Collection[str]) -> tuple[str, ...]:
    """What shows usage where these reference products are switched on."""
    stored = [*STORED, *(PRODUCTS[name] for name in products)]
    return tuple(
        evidence for evidence in (*(each.evidence for each in stored), *(owned.evidence for owned in OWNED)) if evidence is not None
    )


def repositories_of(products: Collection[str]) -> Mapping[str | type[Any], Callable[[Journal, Driver], Written]]:
    """A unit of work's repositories, where these reference products are switched on."""
    stored = [*STORED, *(PRODUCTS[name] for name in products)]
    return {
        **{name: repository for each in stored for name, repository in each.repositories.items()},
        **{owned.kind: owned.repository for owned in OWNED},
        "missing": partial(SqlMissing, missing_sql(evidence_of(products))),
    }


def tables_of(products: Collection[str]) -> ProductTables:
    """Those of the reference products that are switched on, and those of the others."""
    on = [table for name, stored in PRODUCTS.items() if name in products for table in stored.tables]
    off = [table for name, stored in PRODUCTS.items() if name not in products for table in stored.tables]
    return ProductTables(tuple(on), tuple(off))


REPOSITORIES: Final = repositories_of(PRODUCTS)
"""With all reference products."""
