"""Customers in PostgreSQL."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import Column, DateTime, ForeignKeyConstraint, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSON

from core.customers.customer import Customer
from core.customers.deletion import CustomerBeingDeleted
from core.customers.ports import CustomerQuery, CustomerReader, Customers
from core.metering.account import CustomerNotFound
from core.metering.journal import Journal
from core.plans.periods import END
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Change, Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.plans import plan_version
from infrastructure.sql.engine.terms import agreement_json, to_agreement, to_billing

customer: Final = Table(
    "customer",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("plan_key", Text, nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("billing_anchor", DateTime(timezone=True)),
    Column("billing_interval", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("phone_region", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("billing_interval_count", Integer, nullable=False, server_default=text("1")),
    Column("week_starts_on", Text, nullable=False, server_default=text("'monday'")),
    Column("agreement", JSON),
    Column("email", Text),
    Column("locale", Text),
    ForeignKeyConstraint(["plan_key", "plan_version"], [plan_version.c.plan_key, plan_version.c.version]),
    Index("ix_customer_newest", text("created_at DESC"), text("customer_id DESC")),
    Index("ix_customer_scheduled", "customer_id", postgresql_where=text("(agreement -> 'scheduled') IS NOT NULL")),
)


_ON_OLDER: Final = HotStatement(
    """
    SELECT * FROM customer
    WHERE plan_key = :plan AND plan_version < :than AND customer_id COLLATE "C" > :after
    ORDER BY customer_id COLLATE "C" LIMIT :limit
    """
)
# The plan in force is the scheduled one once that is due: whoever is stored on a plan may have left it already.
_PAGE: Final = HotStatement(
    """
    SELECT c.* FROM customer AS c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN CAST(c.agreement -> 'scheduled' ->> 'effective_at' AS timestamptz) <= :at
            THEN c.agreement -> 'scheduled' -> 'plan' END AS plan
        OFFSET 0
    ) AS due
    WHERE (c.created_at, c.customer_id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS text))
        AND (CAST(:matching AS text) IS NULL OR c.customer_id ILIKE :matching OR c.email ILIKE :matching)
        AND (CAST(:plan AS text) IS NULL OR coalesce(due.plan ->> 'key', c.plan_key) = :plan)
        AND (CAST(:plan_version AS integer) IS NULL OR coalesce(CAST(due.plan ->> 'version' AS integer), c.plan_version) = :plan_version)
    ORDER BY c.created_at DESC, c.customer_id DESC LIMIT :limit
    """
)
_LOCK: Final = HotStatement("SELECT * FROM customer WHERE customer_id = :id FOR UPDATE")
_DELETION: Final = HotStatement("SELECT 1 FROM customer_deletion WHERE customer_id = :id")


_LAST: Final = "\U0010ffff"


def _literally(text: str) -> str:
    """What LIKE finds as it stands."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _from_customer(value: Customer) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        value.id,
        value.plan_key,
        value.plan_version,
        value.billing.anchor,
        value.billing.interval.value,
        value.billing.zone.key,
        value.phone_region,
        value.created_at,
        value.updated_at,
        value.billing.interval_count,
        value.billing.week_starts_on.value,
        agreement_json(value.agreement),
        value.email,
        value.locale,
    )


def _to_customer(row: Record) -> Customer:
    return Customer(
        id=row["customer_id"],
        plan_key=row["plan_key"],
        plan_version=row["plan_version"],
        billing=to_billing(row),
        phone_region=row["phone_region"],
        agreement=to_agreement(row["agreement"] and json.dumps(row["agreement"])),
        email=row["email"],
        locale=row["locale"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


_NEW: Final = Rows(customer, _from_customer, _to_customer)
_KNOWN: Final = Rows(customer, _from_customer, _to_customer, changing=all_but_key(customer))


class SqlCustomers(Customers):
    """Within the transaction of a unit of work."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver
        self._new: set[str] = set()

    async def find(self, keys: Sequence[str]) -> Iterable[Customer]:
        return await _KNOWN.find(self._driver, [(id,) for id in keys])

    async def lock(self, id: str) -> None:
        rows = await _LOCK.fetch(self._driver, {"id": id})
        self._known[id] = _to_customer(rows[0]) if rows else None

    async def require_gone(self, id: str) -> None:
        if await _DELETION.fetch(self._driver, {"id": id}):
            raise CustomerBeingDeleted(id)

    def save(self, value: Customer) -> None:
        if self._known.get(value.id, value) is None:
            self._new.add(value.id)
        super().save(value)

    def changes(self) -> Iterable[Change]:
        """A customer that was not there is added, so that one of two who create it at once is run again, and finds it."""
        if new := [value for value in self.saved() if value.id in self._new]:
            yield _NEW.put(new)
        if known := [value for value in self.saved() if value.id not in self._new]:
            yield _KNOWN.put(known)


class SqlCustomerReader(CustomerReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, id: str) -> Customer:
        found = await self._connections.ask(lambda driver: _KNOWN.find(driver, [(id,)]))
        if not found:
            raise CustomerNotFound(id)
        return found[0]

    async def newest(self, query: CustomerQuery) -> Sequence[Customer]:
        before_at, before_id = query.before or (END, _LAST)
        parameters = {
            "at": query.at,
            "before_at": before_at,
            "before_id": before_id,
            "matching": query.text and f"%{_literally(query.text)}%",
            "plan": query.plan,
            "plan_version": query.plan_version,
            "limit": query.limit,
        }
        return [_to_customer(row) for row in await self._connections.ask(lambda driver: _PAGE.fetch(driver, parameters))]

    async def on_older_version(self, plan: str, than: int, after: str, limit: int) -> Sequence[Customer]:
        parameters = {"plan": plan, "than": than, "after": after, "limit": limit}
        return [_to_customer(row) for row in await self._connections.ask(lambda driver: _ON_OLDER.fetch(driver, parameters))]
