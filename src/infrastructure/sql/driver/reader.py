"""Readers over rows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from asyncpg import Record
from sqlalchemy import Uuid

from core.metering.account import CustomerNotFound
from core.metering.reader import Position, Reader
from core.plans.periods import END
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Rows, quoted
from infrastructure.sql.driver.statements import Driver, HotStatement

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")
R = TypeVar("R")

_LAST_UUID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LAST_TEXT: Final = "\U0010ffff"


_CUSTOMER: Final = HotStatement("SELECT 1 FROM customer WHERE customer_id = :customer_id")


class SqlReader(Reader[K, V]):
    """Each method is one statement, and so a transaction of its own. An adapter names its port as the other base.

    The column that lists are in the order of has the name of the port's `newest_by`.
    """

    rows: Rows[Any]

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, key: K) -> V:
        found: list[V] = await of_known(self._connections, key[0], lambda driver: self.rows.find(driver, [key]))
        if not found:
            raise self.missing(str(key[-1]))
        return found[0]

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[V]:
        return await self._page(customer_id, limit, before)

    async def _page(self, customer_id: str, limit: int, before: Position | None, where: str = "true", **parameters: object) -> Sequence[V]:
        """`where` is a further condition, whose parameters are named."""
        statement = _listing(*self._names(), where)
        return await self._listed(statement, customer_id, limit, before, parameters)

    async def _page_of(
        self, column: str, values: Sequence[str], customer_id: str, limit: int, before: Position | None, where: str = "true", **more: object
    ) -> Sequence[V]:
        """As `_page`, of the things with one of these values in the column.

        Value by value, so that each page is read off an index of the customer, the column and the order, however rare the value is.
        """
        statement = _listing_of(*self._names(), quoted(column), where)
        return await self._listed(statement, customer_id, limit, before, {"values": list(values), **more})

    async def _listed(
        self, statement: HotStatement, customer_id: str, limit: int, before: Position | None, more: Mapping[str, object]
    ) -> Sequence[V]:
        before_at, before_id = before or (END, _LAST_UUID if self._has_uuids() else _LAST_TEXT)
        page = {"customer_id": customer_id, "limit": limit, "before_at": before_at, "before_id": before_id}
        return [self.rows.from_row(row) for row in await of_customer(self._connections, statement, {**page, **more})]

    def _names(self) -> tuple[str, str, str]:
        """The table, the column that orders it, and the type of its ids."""
        return quoted(self.rows.table.name), quoted(self.newest_by), "uuid" if self._has_uuids() else "text"

    def _has_uuids(self) -> bool:
        return isinstance(self.rows.table.c.id.type, Uuid)


async def of_customer(connections: Connections, statement: HotStatement, parameters: Mapping[str, Any]) -> Sequence[Record]:
    """The rows of a list of the customer's own. Raises CustomerNotFound: who does not exist has no list, and no empty one either."""

    async def ask(driver: Driver) -> Sequence[Record] | None:
        rows = await statement.fetch(driver, parameters)
        return rows if await _CUSTOMER.fetch(driver, parameters) else None

    rows = await connections.ask(ask)
    if rows is None:
        raise CustomerNotFound(parameters["customer_id"])
    return rows


async def of_known(connections: Connections, customer_id: str, question: Callable[[Driver], Awaitable[list[R]]]) -> list[R]:
    """What is found of the customer. Raises CustomerNotFound: what is left of one that was deleted is not there for anybody."""

    async def ask(driver: Driver) -> list[R] | None:
        found = await question(driver)
        return found if not found or await _CUSTOMER.fetch(driver, {"customer_id": customer_id}) else None

    found = await connections.ask(ask)
    if found is None:
        raise CustomerNotFound(customer_id)
    return found


@lru_cache(maxsize=64)
def _listing(table: str, newest_by: str, id_type: str, where: str) -> HotStatement:
    return HotStatement(_page_sql(table, newest_by, id_type, where))


@lru_cache(maxsize=64)
def _listing_of(table: str, newest_by: str, id_type: str, column: str, where: str) -> HotStatement:
    page = _page_sql(table, newest_by, id_type, f"({where}) AND {column} = wanted.value")
    return HotStatement(
        f"""
        SELECT page.* FROM unnest(CAST(:values AS text[])) AS wanted (value) CROSS JOIN LATERAL ({page}) AS page
        ORDER BY page.{newest_by} DESC, page.id DESC
        LIMIT :limit
        """
    )


def _page_sql(table: str, newest_by: str, id_type: str, where: str) -> str:
    return f"""
        SELECT * FROM {table}
        WHERE customer_id = :customer_id AND ({where})
          AND ({newest_by}, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS {id_type}))
        ORDER BY {newest_by} DESC, id DESC
        LIMIT :limit
    """
