"""Accounts as they stand, in memory, with the features that are counted and no others."""

from collections.abc import Collection
from datetime import datetime

from core.metering.account import Account, CustomerNotFound
from core.metering.counters import wanted_period
from core.plans.plan import Metered
from tests.unit.fakes.operations import FakeAccountReader


class CountedAccountReader(FakeAccountReader):
    """Leaves out what was never declared and what the plan does not meter; None for the features: all that the plan meters."""

    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        customer = self._store.customers.get(customer_id)
        if customer is None:
            raise CustomerNotFound(customer_id)
        plan = self._store.plans[customer.plan_key, customer.plan_version]
        if features is None:
            features = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
        declared = [feature for feature in features if self._store.catalog.get(feature)]
        counted = [feature for feature in declared if wanted_period(plan, customer.billing, feature, at)]
        return await super().read(customer_id, counted, at)
