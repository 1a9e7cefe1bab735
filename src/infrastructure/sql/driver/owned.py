"""Kinds of things that are kept just as they are: for each, the table, the repository, the reader and the evidence."""

from functools import partial
from typing import Generic, TypeVar

from sqlalchemy import Index, MetaData, text

from core.metering.journal import Journal
from core.metering.owned import Owned, OwnedKey, OwnedNotFound, OwnedReader, OwnedRepository
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.fields import table_of
from infrastructure.sql.driver.reader import SqlReader
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key, quoted
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver

V = TypeVar("V", bound=Owned)


class SqlOwnedRepository(SqlRepository[OwnedKey, V], OwnedRepository[V]):
    """Within the transaction of a unit of work."""

    def __init__(self, rows: Rows[V], journal: Journal, driver: Driver) -> None:
        super().__init__(journal, driver)
        self.rows = rows


class SqlOwnedReader(SqlReader[OwnedKey, V], OwnedReader[V]):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, rows: Rows[V], connections: Connections) -> None:
        super().__init__(connections)
        self.rows = rows
        self.missing = partial(OwnedNotFound, rows.table.name)


class OwnedKind(Generic[V]):
    """How things of one kind are kept: in a table of this name, which is also what callers are told is missing.

    With `feature` and `source`, each thing is evidence of one unit of the feature: it was booked when the thing was created, from this
    source, and with the thing's id as its reference.
    """

    def __init__(
        self, kind: type[V], table: str, *, feature: str | None = None, source: str | None = None, within: MetaData = metadata
    ) -> None:
        newest = Index(f"ix_{table}_newest", "customer_id", text("created_at DESC"), text("id DESC"))
        self.kind = kind
        self.table = table_of(kind, table, newest, within=within)
        self.evidence = _one_each(table, feature, source) if feature and source else None
        self._rows = Rows.alike(self.table, kind, changing=all_but_key(self.table))

    def repository(self, journal: Journal, driver: Driver) -> SqlOwnedRepository[V]:
        """For one unit of work."""
        return SqlOwnedRepository(self._rows, journal, driver)

    def reader(self, connections: Connections) -> SqlOwnedReader[V]:
        """For a process."""
        return SqlOwnedReader(self._rows, connections)


def _one_each(table: str, feature: str, source: str) -> str:
    return f"""
        SELECT customer_id, '{feature}' AS feature, '{source}' AS source, CAST(id AS text) AS reference, CAST(1 AS bigint) AS quantity,
            created_at AS occurred_at, CAST(NULL AS text) AS dimension
        FROM {quoted(table)}
    """
