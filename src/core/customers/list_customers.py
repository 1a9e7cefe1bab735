"""List and search customers, also by how near they are to a limit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.ports import CustomerQuery, CustomerReader
from core.metering.account import Account, CustomerNotFound
from core.metering.ports import AccountReader
from core.plans.plan import Metered

LOOKED_AT_MAX: Final = 2_000
"""So many customers are looked at for one page of those who are near a limit; a page may be short, and another one follow."""
_PIECE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCustomersQuery:
    """Which customers, and how many at most. `near_percent`: of the limit of any feature so much is used, or more."""

    limit: int
    text: str | None = None
    plan: str | None = None
    plan_version: int | None = None
    near_percent: int | None = None
    before: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of customers, and where it ended; None on the last one."""

    customers: Sequence[Customer]
    ended: tuple[datetime, str] | None


class ListCustomers:
    """Customers, newest first by when they were created.

    Who is near a limit is found out by looking at one customer after the other: limits are a matter of plans, overrides, add-ons and
    grants, which no index knows.
    """

    def __init__(self, customers: CustomerReader, accounts: AccountReader, clock: Clock) -> None:
        self._customers = customers
        self._accounts = accounts
        self._clock = clock

    async def execute(self, query: ListCustomersQuery) -> Listed:
        """A page; short, or empty, where `LOOKED_AT_MAX` customers have been looked at and more follow."""
        now = self._clock()
        wanted = CustomerQuery(
            at=now, limit=query.limit + 1, text=query.text, plan=query.plan, plan_version=query.plan_version, before=query.before
        )
        if query.near_percent is None:
            found = await self._customers.newest(wanted)
            shown = found[: query.limit]
            return Listed(shown, _position(shown[-1]) if len(found) > query.limit else None)
        return await self._near(replace(wanted, limit=_PIECE), query.limit, query.near_percent)

    async def _near(self, wanted: CustomerQuery, limit: int, percent: int) -> Listed:
        near: list[Customer] = []
        looked_at = 0
        while looked_at < LOOKED_AT_MAX:
            piece = await self._customers.newest(wanted)
            verdicts = await asyncio.gather(*(self._is_near(customer.id, wanted.at, percent) for customer in piece))
            for customer, is_near in zip(piece, verdicts, strict=True):
                if is_near and len(near) == limit:
                    return Listed(near, _position(near[-1]))
                if is_near:
                    near.append(customer)
            if len(piece) < wanted.limit:
                return Listed(near, None)
            looked_at += len(piece)
            wanted = replace(wanted, before=_position(piece[-1]))
        return Listed(near, wanted.before)

    async def _is_near(self, customer_id: str, now: datetime, percent: int) -> bool:
        try:
            account = await self._accounts.read(customer_id, None, now)
        except CustomerNotFound:
            return False
        return any(_reaches(account, key, percent) for key, item in account.plan.entitlements.items() if isinstance(item, Metered))


def _reaches(account: Account, feature: str, percent: int) -> bool:
    balance = account.balance(feature)
    return balance.limit is not None and balance.used > 0 and 100 * balance.used >= percent * balance.limit


def _position(customer: Customer) -> tuple[datetime, str]:
    return customer.created_at, customer.id
