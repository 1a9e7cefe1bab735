"""Readers over rows."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import Uuid

from core.metering.reader import Position, Reader
from core.plans.periods import END
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Rows, quoted
from infrastructure.sql.driver.statements import HotStatement

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")

_LAST_UUID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LAST_TEXT: Final = "\U0010ffff"


class SqlReader(Reader[K, V]):
    """Each method is one statement, and so a transaction of its own. An adapter names its port as the other base.

    The column that lists are in the order of has the name of the port's `newest_by`.
    """

    rows: Rows[Any]

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, key: K) -> V:
        found: list[V] = await self._connections.ask(lambda driver: self.rows.find(driver, [key]))
        if not found:
            raise self.missing(str(key[-1]))
        return found[0]

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[V]:
        return await self._page(customer_id, limit, before)

    async def _page(self, customer_id: str, limit: int, before: Position | None, where: str = "true", **parameters: object) -> Sequence[V]:
        """`where` is a further condition, whose parameters are named."""
        table = self.rows.table
        last_id = _LAST_UUID if isinstance(table.c.id.type, Uuid) else _LAST_TEXT
        before_at, before_id = before or (END, last_id)
        page = {"customer_id": customer_id, "limit": limit, "before_at": before_at, "before_id": before_id}
        statement = _listing(quoted(table.name), quoted(self.newest_by), "uuid" if last_id is _LAST_UUID else "text", where)
        rows = await self._connections.ask(lambda driver: statement.fetch(driver, {**page, **parameters}))
        return [self.rows.from_row(row) for row in rows]


@lru_cache(maxsize=64)
def _listing(table: str, newest_by: str, id_type: str, where: str) -> HotStatement:
    return HotStatement(
        f"""
        SELECT * FROM {table}
        WHERE customer_id = :customer_id AND ({where})
          AND ({newest_by}, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS {id_type}))
        ORDER BY {newest_by} DESC, id DESC
        LIMIT :limit
        """
    )
