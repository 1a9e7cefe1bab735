"""Foresee where a customer's features will stand at the reset, and when their limits will be reached."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.clock import Clock
from core.history.forecast import HISTORY_DAYS_MAX, Forecast, PastDay, enough, forecast, since_first_use
from core.history.past_days import PastDays, days_until
from core.metering.balance import Balance
from core.metering.ports import AccountReader
from core.plans.periods import Billing, Reset
from core.plans.plan import Metered

AHEAD_MAX: Final = timedelta(days=366)
"""So far ahead limits are looked at where a period ends later, or never."""


@dataclass(frozen=True, slots=True)
class FeatureForecast:
    """`forecast` is None where too little is known of the past; `is_at_reset` is False where it ends before the period does."""

    balance: Balance
    days: int
    forecast: Forecast | None
    is_at_reset: bool


class ReadForecast:
    """How much will have been used at the reset, and when will the limit be reached, if the customer goes on as it did?

    - From the customer's own days, at most `HISTORY_DAYS_MAX`, and a week at least; days that a limit left empty are not counted.
    - What is held counts as used, and what grants have left counts as a part of the limit.
    - The same all day long for the same usage: the seed is the customer, the feature and the day.
    """

    def __init__(self, accounts: AccountReader, past: PastDays, clock: Clock) -> None:
        self._accounts = accounts
        self._past = past
        self._clock = clock

    async def execute(self, customer_id: str) -> Mapping[str, FeatureForecast]:
        """By feature, of all that the plan meters. Raises CustomerNotFound."""
        now = self._clock()
        account = await self._accounts.read(customer_id, None, now)
        metered = [key for key, entitlement in account.plan.entitlements.items() if isinstance(entitlement, Metered)]
        past = await self._past.read(customer_id, metered, now, HISTORY_DAYS_MAX) if metered else {}

        def foresee() -> Mapping[str, FeatureForecast]:
            return {
                key: _foreseen(customer_id, account.balance(key), since_first_use(past[key].free_days), account.billing, now)
                for key in metered
            }

        return await asyncio.to_thread(foresee)  # some 20 ms a feature, which nobody else has to wait for


def _foreseen(customer_id: str, balance: Balance, days: Sequence[PastDay], billing: Billing, now: datetime) -> FeatureForecast:
    at_reset = balance.period.end <= now + AHEAD_MAX
    if not enough(days):
        return FeatureForecast(balance, len(days), None, at_reset)
    ahead = days_until(min(balance.period.end, now + AHEAD_MAX), billing, now)
    today = billing.period(Reset.DAY, now).start
    left = None if balance.limit is None else balance.limit - balance.used - balance.held
    found = forecast(days, ahead, used=balance.used, left=left, seed=f"{customer_id}\0{balance.feature.key}\0{today.isoformat()}")
    return FeatureForecast(balance, len(days), found, at_reset)
