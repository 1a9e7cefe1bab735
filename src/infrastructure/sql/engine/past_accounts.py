"""Accounts as of any instant, from the history of what was agreed and the ledger. For questions, never for decisions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from core.metering.account import Account, NotYetACustomer
from core.metering.counters import CounterState, wanted_period
from core.metering.grants import NoGrants
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.metering.ports import PastAccounts
from core.metering.records import NoRecords
from core.metering.reservations import NoReservations
from core.plans.periods import INSTANT, Period
from core.plans.plan import Metered
from core.plans.terms import TermsHistory
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.books import funds_as_of
from infrastructure.sql.engine.ledger import SUM_MAX
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.terms import read_history

_USED: Final = HotStatement(
    f"""
    SELECT wanted.n, ledger.used
    FROM unnest(CAST(:features AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        WITH ORDINALITY AS wanted (feature, period_start, period_end, n)
    CROSS JOIN LATERAL (
        SELECT CAST(least(coalesce(sum(r.quantity), 0), {SUM_MAX}) AS bigint) AS used
        FROM usage_record AS r
        WHERE r.customer_id = :id AND r.feature = wanted.feature
          AND r.occurred_at >= wanted.period_start AND r.occurred_at < wanted.period_end
          AND (CAST(:known_at AS timestamptz) IS NULL OR r.recorded_at <= :known_at)
        OFFSET 0
    ) AS ledger
    """
)


class SqlPastAccounts(PastAccounts):
    """The history, and for each feature what a replay of its grants and its usage leads to."""

    def __init__(self, connections: Connections, catalog: PlanCatalog, new_id: Callable[[], UUID]) -> None:
        self._connections = connections
        self._catalog = catalog
        self._new_id = new_id

    async def read(self, customer_id: str, at: datetime, known_at: datetime | None) -> Account:
        return await self._connections.ask(lambda driver: self._read(driver, customer_id, at, known_at))

    async def _read(self, driver: Driver, customer_id: str, at: datetime, known_at: datetime | None) -> Account:
        history = TermsHistory.of(await read_history(driver, customer_id), known_at)
        terms = history.at(at)
        if terms is None:
            raise NotYetACustomer(at)
        agreed = terms.plan, terms.agreement
        plan = (await self._catalog.plans_of(driver, [agreed]))[agreed]
        metered = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
        catalog = await self._catalog.learn_features(driver, metered) if metered else self._catalog.features
        states: dict[Meter, CounterState] = {}
        for key in metered:
            period = wanted_period(plan, terms.billing, key, at)
            if period is not None:
                meter = Meter(customer_id, key)
                used = partial(_used_of, driver, meter, at=at, known_at=known_at)
                funds = await funds_as_of(driver, self._catalog, history, meter, at=at, known_at=known_at, used=used)
                states[meter] = CounterState((await used([period]))[period], 0, None, funds)
        journal = Journal()
        return Account(
            customer_id,
            plan,
            terms.billing,
            states,
            now=at,
            catalog=catalog,
            new_id=self._new_id,
            journal=journal,
            reservations=NoReservations(journal),
            corrected=NoRecords(journal),
            grants=NoGrants(journal),
        )


async def _used_of(
    driver: Driver, meter: Meter, periods: Sequence[Period], *, at: datetime, known_at: datetime | None
) -> Mapping[Period, int]:
    """What had been used within the periods by then, the instant included, as far as was known."""
    parameters = {
        "id": meter.customer_id,
        "features": [meter.feature] * len(periods),
        "starts": [period.start for period in periods],
        "ends": [min(period.end, at + INSTANT) for period in periods],
        "known_at": known_at,
    }
    return {periods[row["n"] - 1]: row["used"] for row in await _USED.fetch(driver, parameters)}
