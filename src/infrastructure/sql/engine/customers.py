"""Customers in PostgreSQL."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Column, DateTime, ForeignKeyConstraint, Integer, RowMapping, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from core.customers.customer import Customer
from core.customers.ports import Customers
from core.metering.account import CustomerNotFound
from core.plans.periods import Billing, Interval
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.engine.plans import plan_version

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
    ForeignKeyConstraint(["plan_key", "plan_version"], [plan_version.c.plan_key, plan_version.c.version]),
)


class SqlCustomers(Customers):
    """Each method is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, id: str) -> Customer:
        with storage_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(customer).where(customer.c.customer_id == id))).mappings().one_or_none()
        if row is None:
            raise CustomerNotFound(id)
        return _to_customer(row)

    async def put(self, value: Customer, at: datetime) -> bool:
        written = insert(customer).values(**_to_row(value), created_at=at, updated_at=at)
        replace = {name: written.excluded[name] for name in (*_to_row(value), "updated_at") if name != "customer_id"}
        # A row that was just inserted has created_at = updated_at = this call's own instant.
        statement = written.on_conflict_do_update(index_elements=["customer_id"], set_=replace).returning(
            (customer.c.created_at == customer.c.updated_at).label("created")
        )
        with storage_errors():
            async with self._engine.begin() as connection:
                return bool((await connection.execute(statement)).scalar_one())

    async def change(self, id: str, change: Callable[[Customer], Customer], at: datetime) -> Customer:
        with storage_errors():
            async with self._engine.begin() as connection:
                locked = select(customer).where(customer.c.customer_id == id).with_for_update()
                row = (await connection.execute(locked)).mappings().one_or_none()
                if row is None:
                    raise CustomerNotFound(id)
                value = change(_to_customer(row))
                await connection.execute(update(customer).where(customer.c.customer_id == id).values(**_to_row(value), updated_at=at))
        return value


def _to_row(value: Customer) -> dict[str, Any]:
    return {
        "customer_id": value.id,
        "plan_key": value.plan_key,
        "plan_version": value.plan_version,
        "billing_anchor": value.billing.anchor,
        "billing_interval": value.billing.interval.value,
        "time_zone": value.billing.zone.key,
        "phone_region": value.phone_region,
    }


def _to_customer(row: RowMapping) -> Customer:
    billing = Billing(row["billing_anchor"], Interval(row["billing_interval"]), ZoneInfo(row["time_zone"]))
    return Customer(row["customer_id"], row["plan_key"], row["plan_version"], billing, row["phone_region"])
