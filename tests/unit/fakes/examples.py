"""One customer, one plan and one moment that the engine's tests are about."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID
from zoneinfo import ZoneInfo

from core.customers.customer import Customer
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.counters import CounterState, PeriodNotLoaded
from core.metering.grants import NoGrants
from core.metering.journal import Journal
from core.metering.ledger import CorrectedRecord, Origin, RecordKey
from core.metering.meters import Meter
from core.metering.records import NoRecords
from core.metering.repository import Repository
from core.metering.reservations import NoReservations, Reservation
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing, Interval, Period
from core.plans.plan import Boolean, Enforcement, Metered, Plan, Static
from core.products import BUILT_IN

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PERIOD = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
PERIOD_BEFORE = Period(datetime(2026, 10, 1, tzinfo=UTC), PERIOD.start)
BILLING = Billing(datetime(2026, 1, 1, tzinfo=UTC), Interval.MONTH, ZoneInfo("UTC"))
NOTHING: Mapping[str, int] = {}
ORIGIN = Origin("test", "key 1", "order 7")

PRO = Plan(
    "pro",
    3,
    "Pro",
    {
        "sessions": Metered(10),
        "minutes": Metered(500 * 60),
        "assessments": Metered(0),
        "ai_runs": Metered(None),
        "ai_cost": Metered(3_000_000_000, enforcement=Enforcement.SOFT),
        "max_file_size_mb": Static(Decimal(60)),
        "exports": Boolean(True),
        "single_sign_on": Boolean(False),
    },
)
ACME = Customer("acme", PRO.key, PRO.version, BILLING, created_at=PERIOD.start, updated_at=PERIOD.start)


def open_account(
    used: Mapping[str, int] | None = None,
    held: Mapping[str, int] | None = None,
    *,
    used_before: Mapping[str, int] | None = NOTHING,
    now: datetime = NOW,
) -> Account:
    """ACME's account on PRO, of which nothing is used or held but what is said.

    `used_before` is what was used in every other period, which has been read; None: it has not been.
    """
    used, held, ids = used or {}, held or {}, count(1)
    counters = {Meter(ACME.id, feature.key): CounterState(used.get(feature.key, 0), held.get(feature.key, 0)) for feature in BUILT_IN}
    journal = Journal()
    account = (Account if used_before is None else InformedAccount)(
        ACME.id,
        PRO,
        BILLING,
        counters,
        now=now,
        catalog=FeatureCatalog(BUILT_IN),
        new_id=lambda: UUID(int=next(ids)),
        journal=journal,
        reservations=NoReservations(journal),
        corrected=NoRecords(journal),
        grants=NoGrants(journal),
    )
    if isinstance(account, InformedAccount):
        account.used_before = used_before or {}
    return account


class InformedAccount(Account):
    """Has been told of every period that it is asked about."""

    __slots__ = ("used_before",)

    used_before: Mapping[str, int]

    def balance_at(self, key: str, at: datetime) -> Balance:
        try:
            return super().balance_at(key, at)
        except PeriodNotLoaded:
            self.learn(key, self._period(key, at), self.used_before.get(key, 0))
            return super().balance_at(key, at)


def journal_of(account: Account) -> Journal:
    """What takes back what the account did."""
    return account._journal


def reservations_of(account: Account) -> list[Reservation]:
    """The last states of the reservations that the account made or settled."""
    return list(account._reservations.saved())


def corrected_of(account: Account) -> Repository[RecordKey, CorrectedRecord]:
    """Where the account saves what its corrections leave of records."""
    return account._corrected


def standing(account: Account, feature: str) -> tuple[int, int]:
    """What is used and what is held."""
    balance = account.balance(feature)
    return balance.used, balance.held


def reservation(usage: Mapping[str, int], *, expires_at: datetime = NOW + timedelta(seconds=300)) -> Reservation:
    """ACME's, made so that it lives for five minutes."""
    return Reservation(UUID(int=99), ACME.id, usage, usage, created_at=expires_at - timedelta(seconds=300), expires_at=expires_at)
