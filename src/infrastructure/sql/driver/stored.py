"""What a package keeps in the database, so that it can be registered in one line."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from sqlalchemy import Table

from core.metering.journal import Journal
from infrastructure.sql.driver.rows import Change
from infrastructure.sql.driver.statements import Driver


class Written(Protocol):
    """A repository that collects changes for the commit to write."""

    def changes(self) -> Iterable[Change]: ...


class Stored(NamedTuple):
    """The repositories, by their names in the unit of work; the evidence; and the tables, where they may be left out.

    Evidence is a SELECT of the usage that the package's own rows show, as columns customer_id, feature, source, reference, quantity,
    occurred_at, dimension. Reconciliation compares it with the ledger.
    """

    repositories: Mapping[str, Callable[[Journal, Driver], Written]]
    evidence: str | None = None
    tables: tuple[Table, ...] = ()
