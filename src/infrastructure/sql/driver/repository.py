"""Repositories over rows: what they are asked for is looked up by key, and what was saved is written at the commit."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from core.metering.journal import Journal
from core.metering.repository import Repository
from infrastructure.sql.driver.rows import Change, Rows
from infrastructure.sql.driver.statements import Driver

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")


class SqlRepository(Repository[K, V]):
    """Within the transaction of a unit of work. An adapter names its port as the other base, and says what its rows are."""

    rows: Rows[Any]

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver

    async def find(self, keys: Sequence[K]) -> Iterable[V]:
        found: list[V] = await self.rows.find(self._driver, keys)
        return found

    def changes(self) -> Iterable[Change]:
        """What the commit has to write."""
        saved = self.saved()
        if saved:
            yield self.rows.put(saved)
