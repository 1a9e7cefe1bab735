"""Accounts as they stand, read in one statement and locked by nobody."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.metering.account import Account, CounterState, CustomerNotFound
from core.metering.periods import Period
from core.metering.plans import Metered
from core.metering.ports import AccountReader
from infrastructure.sql.accounts import to_billing, wanted_period
from infrastructure.sql.errors import storage_errors
from infrastructure.sql.ledger import used_within
from infrastructure.sql.plans import SqlPlans

_READ: Final = text(
    """
    SELECT 'customer' AS kind, plan_key, plan_version, billing_anchor, billing_interval, time_zone,
        CAST(NULL AS text) AS feature, CAST(NULL AS bigint) AS quantity,
        CAST(NULL AS timestamptz) AS period_start, CAST(NULL AS timestamptz) AS period_end
    FROM customer WHERE customer_id = :customer_id
    UNION ALL
    SELECT 'counter', NULL, NULL, NULL, NULL, NULL, feature, used, period_start, period_end
    FROM usage_counter WHERE customer_id = :customer_id
    UNION ALL
    SELECT 'hold', NULL, NULL, NULL, NULL, NULL, feature, CAST(sum(quantity) AS bigint), NULL, NULL
    FROM usage_hold WHERE customer_id = :customer_id AND expires_at > :at GROUP BY feature
    """
)


class SqlAccountReader(AccountReader):
    """One round trip, and a second one only for counters that sum another period than the one that is asked about."""

    def __init__(self, engine: AsyncEngine, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._plans = plans
        self._new_id = new_id

    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        with storage_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_READ, {"customer_id": customer_id, "at": at})).all()
                customer = next((row for row in rows if row.kind == "customer"), None)
                if customer is None:
                    raise CustomerNotFound(customer_id)
                billing = to_billing(customer)
                version = (customer.plan_key, customer.plan_version)
                plan = (await self._plans.versions(connection, {version}))[version]
                if features is None:
                    features = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
                catalog = await self._plans.learn_features(connection, features) if features else self._plans.catalog
                counters = {row.feature: row for row in rows if row.kind == "counter"}
                held = {row.feature: row.quantity for row in rows if row.kind == "hold"}
                used: dict[str, int] = {}
                stale: list[tuple[str, str, Period]] = []
                for feature in features:
                    period = wanted_period(plan, billing, feature, at) if catalog.get(feature) else None
                    if period is None:
                        continue
                    counter = counters.get(feature)
                    if counter is not None and (counter.period_start, counter.period_end) == (period.start, period.end):
                        used[feature] = counter.quantity
                    else:
                        stale.append((customer_id, feature, period))
                used |= {feature: total for (_, feature), total in (await used_within(connection, stale)).items()}
        states = {feature: CounterState(total, held.get(feature, 0)) for feature, total in used.items()}
        return Account(customer_id, plan, billing, states, now=at, catalog=catalog, new_id=self._new_id)
