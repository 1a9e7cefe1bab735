"""Accounts as of any instant, from the history of what was agreed and the ledger. For questions, never for decisions."""

from collections.abc import Callable
from datetime import datetime, timedelta
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
from core.plans.plan import Metered
from core.plans.terms import TermsHistory
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.ledger import SUM_MAX
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.terms import read_history

_USED: Final = HotStatement(
    f"""
    SELECT wanted.feature, ledger.used
    FROM unnest(CAST(:features AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        AS wanted (feature, period_start, period_end)
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

_JUST_AFTER: Final = timedelta(microseconds=1)


class SqlPastAccounts(PastAccounts):
    """Two statements: the history, and the sums of the periods that it leads to."""

    def __init__(self, connections: Connections, catalog: PlanCatalog, new_id: Callable[[], UUID]) -> None:
        self._connections = connections
        self._catalog = catalog
        self._new_id = new_id

    async def read(self, customer_id: str, at: datetime, known_at: datetime | None) -> Account:
        return await self._connections.ask(lambda driver: self._read(driver, customer_id, at, known_at))

    async def _read(self, driver: Driver, customer_id: str, at: datetime, known_at: datetime | None) -> Account:
        terms = TermsHistory.of(await read_history(driver, customer_id), known_at).at(at)
        if terms is None:
            raise NotYetACustomer(at)
        agreed = terms.plan, terms.agreement
        plan = (await self._catalog.plans_of(driver, [agreed]))[agreed]
        metered = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
        catalog = await self._catalog.learn_features(driver, metered) if metered else self._catalog.features
        periods = {key: period for key in metered if (period := wanted_period(plan, terms.billing, key, at)) is not None}
        parameters = {
            "id": customer_id,
            "features": list(periods),
            "starts": [period.start for period in periods.values()],
            "ends": [min(period.end, at + _JUST_AFTER) for period in periods.values()],
            "known_at": known_at,
        }
        used = {row["feature"]: row["used"] for row in await _USED.fetch(driver, parameters)}
        journal = Journal()
        return Account(
            customer_id,
            plan,
            terms.billing,
            {Meter(customer_id, key): CounterState(used[key], 0) for key in periods},
            now=at,
            catalog=catalog,
            new_id=self._new_id,
            journal=journal,
            reservations=NoReservations(journal),
            corrected=NoRecords(journal),
            grants=NoGrants(journal),
        )
