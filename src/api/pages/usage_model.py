"""What the usage page shows, put together from what the engine says; templates only lay it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from api.container import Container
from api.pages.charts import BarChart, Bucket, UsageBar, bar_chart, usage_bar
from api.pages.formats import Formats
from api.wire import percent
from core.customers.customer import Customer
from core.history.buckets import By, first_of_months
from core.history.read_forecast import FeatureForecast
from core.history.read_history import HistoryItem, HistoryQuery
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.grants import GrantState, StandingGrant
from core.metering.ledger import Breakdown, bounded
from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import INSTANT, Reset
from core.plans.plan import Boolean, Metered, Static

NEAR_PERCENT: Final = 80
MONTHS: Final = (6, 12)
DAYS_MAX: Final = 62
GRANTS_SHOWN: Final = 50
SHARES_SHOWN: Final = 8
SMALL_CHANCE: Final = 0.05
"""Below it, a limit is said to be out of reach in this period."""


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one dimension contributed."""

    name: str
    amount: str
    parts: int
    """Of 1,000."""


@dataclass(frozen=True, slots=True)
class Card:
    """One metered feature in its current period."""

    key: str
    name: str
    amount: str
    display: str
    facts: Sequence[str]
    percent: str | None
    level: str
    """`calm`, `near`, `full` or `over`."""
    bar: UsageBar | None
    months: BarChart | None
    days: BarChart | None
    shares: Sequence[ShareRow]
    is_used: bool
    forecast: str | None = None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant that has something left, or will have."""

    feature: str
    kind: str
    amount: str
    left: str
    expires: str


@dataclass(frozen=True, slots=True)
class Included:
    """What the plan gives besides metered features."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Everything that is shown of a customer."""

    customer_id: str
    plan: str
    period: str
    banners: Sequence[tuple[str, str]]
    cards: Sequence[Card]
    included: Sequence[Included]
    grants: Sequence[GrantRow]
    months: int
    updated: str
    email: str | None


class UsagePages:
    """Reads pages for one reader's way of writing."""

    def __init__(self, container: Container, formats: Formats) -> None:
        self._container = container
        self._formats = formats

    async def read(self, customer: Customer, months: int = MONTHS[0]) -> UsagePage:
        """Raises CustomerNotFound and StorageUnavailable."""
        container = self._container
        now = container.clock()()
        account = await container.account_reader().read(customer.id, None, now)
        catalog = await container.plan_reader().features()
        metered = [key for key, item in account.plan.entitlements.items() if isinstance(item, Metered)]
        balances = {key: account.balance(key) for key in metered}
        breakdowns = await container.ledger_reader().breakdown(customer.id, {key: item.period for key, item in balances.items()}, now)
        history = await self._months(account, months)
        days = await self._days(account, balances)
        forecasts = await container.read_forecast().execute(customer.id)
        grants = await container.grant_reader().newest(customer.id, GRANTS_SHOWN, None, feature=None, state=None, at=now)
        cards = [
            self._card(balance, breakdowns.get(key), history.get(key, ()), days.get(key, ()), forecasts.get(key))
            for key, balance in balances.items()
        ]
        return UsagePage(
            customer_id=customer.id,
            plan=self._formats.text("plan", plan=account.plan.name),
            period=self._period(account),
            banners=[banner for card, balance in zip(cards, balances.values(), strict=True) if (banner := self._banner(card, balance))],
            cards=cards,
            included=list(self._included(account)),
            grants=[row for grant in grants if (row := self._grant(grant, catalog, now))],
            months=months,
            updated=self._formats.text("updated", when=self._formats.moment(now)),
            email=customer.email,
        )

    async def _months(self, account: Account, months: int) -> Mapping[str, Sequence[HistoryItem]]:
        return await self._history(account, By.MONTH, first_of_months(account.billing, account.now, months))

    async def _days(self, account: Account, balances: Mapping[str, Balance]) -> Mapping[str, Sequence[HistoryItem]]:
        earliest = account.now - timedelta(days=DAYS_MAX)
        starts = [start for balance in balances.values() if (start := balance.period.starts_at) and start > earliest]
        if not starts:
            return {}
        items = await self._history(account, By.DAY, account.billing.period(Reset.DAY, min(starts)).start)
        return {
            key: [item for item in found if start is None or item.period.end > start]
            for key, found in items.items()
            if key in balances and ((start := balances[key].period.starts_at) is not None and start > earliest)
        }

    async def _history(self, account: Account, by: By, since: datetime) -> Mapping[str, Sequence[HistoryItem]]:
        found: dict[str, list[HistoryItem]] = {}
        for item in await self._container.read_history().execute(HistoryQuery(account.customer_id, by=by, since=since)):
            found.setdefault(item.feature.key, []).append(item)
        return found

    def _card(
        self,
        balance: Balance,
        breakdown: Breakdown | None,
        months: Sequence[HistoryItem],
        days: Sequence[HistoryItem],
        forecast: FeatureForecast | None,
    ) -> Card:
        write, feature = self._formats, balance.feature
        tenths = None if balance.limit is None else Decimal(str(percent(balance.used, balance.limit)))
        burnt = balance.funds.burnt if balance.funds else 0
        used, limit = write.amount(balance.used, feature), balance.limit
        amount = write.text("used_unlimited", used=used)
        if limit is not None:
            amount = write.text("used_of", used=write.bare(balance.used, feature), limit=write.amount(limit, feature))
        return Card(
            key=feature.key,
            name=write.feature(feature.key),
            amount=amount,
            display=write.text("unlimited")
            if limit is None
            else write.text("remaining", amount=write.amount(balance.remaining or 0, feature)),
            facts=list(self._facts(balance)),
            percent=None if tenths is None else write.percent(tenths),
            level=_level(balance, tenths),
            bar=usage_bar(used=balance.used, burnt=burnt, overage=balance.overage, held=balance.held, limit=limit),
            months=self._chart(months, by_month=True) if any(item.standing.used for item in months) else None,
            days=self._chart(days, by_month=False) if any(item.standing.used for item in days) else None,
            shares=self._shares(breakdown, feature),
            is_used=bool(balance.used or balance.held),
            forecast=self._forecast(forecast),
        )

    def _forecast(self, found: FeatureForecast | None) -> str | None:
        """One sentence; None where nothing was used, or there is nothing to wait for."""
        if found is None or found.balance.limit is None or not found.balance.used:
            return None
        write, forecast = self._formats, found.forecast
        if forecast is None:
            return write.text("forecast_no_date")
        if found.balance.remaining == 0 or not found.is_at_reset:
            return None
        expected = write.amount(forecast.expected, found.balance.feature)
        if forecast.reached is not None:
            days = {name: write.day(at) for name, at in forecast.reached._asdict().items()}
            return write.text("forecast_reached", when=days["expected"], earliest=days["earliest"], latest=days["latest"])
        if forecast.chance < SMALL_CHANCE:
            return write.text("forecast_safe", expected=expected)
        return write.text("forecast_maybe", expected=expected, chance=write.chance(forecast.chance))

    def _facts(self, balance: Balance) -> Sequence[str]:
        write, feature = self._formats, balance.feature
        facts = []
        if balance.held:
            facts.append(write.text("held", amount=write.amount(balance.held, feature)))
        if balance.granted:
            facts.append(write.text("granted", amount=write.amount(balance.granted, feature)))
        if balance.overage:
            facts.append(write.text("overage", amount=write.amount(balance.overage, feature)))
        resets = balance.period.resets_at
        facts.append(write.text("resets", when=write.moment(resets)) if resets else write.text("never_resets"))
        return facts

    def _chart(self, items: Sequence[HistoryItem], *, by_month: bool) -> BarChart:
        write = self._formats
        buckets = []
        for item in items:
            start, standing, feature = item.period.start, item.standing, item.feature
            label = write.short_month(start) if by_month else write.short_day(start)
            buckets.append(
                Bucket(
                    label=label,
                    name=write.month(start) if by_month else write.day(start),
                    used=standing.used,
                    overage=standing.overage,
                    limit=standing.limit,
                    shown=write.amount(standing.used, feature),
                    shown_limit=write.text("unlimited") if standing.limit is None else write.amount(standing.limit, feature),
                )
            )
        return bar_chart(buckets, with_limits=by_month)

    def _shares(self, breakdown: Breakdown | None, feature: Feature) -> Sequence[ShareRow]:
        if breakdown is None or not any(share.dimension is not None for share in breakdown.shares):
            return ()
        shares = bounded(breakdown.shares, SHARES_SHOWN)
        total = max(sum(share.quantity for share in shares), 1)
        return [
            ShareRow(
                share.dimension or self._formats.text("no_kind"),
                self._formats.amount(share.quantity, feature),
                min(max(1_000 * share.quantity // total, 0), 1_000),
            )
            for share in shares
        ]

    def _banner(self, card: Card, balance: Balance) -> tuple[str, str] | None:
        write = self._formats
        match card.level:
            case "over":
                return card.level, write.text("banner_over", feature=card.name, amount=write.amount(balance.overage, balance.feature))
            case "full":
                return card.level, write.text("banner_full", feature=card.name)
            case "near":
                return card.level, write.text("banner_near", feature=card.name, percent=card.percent)
        return None

    def _included(self, account: Account) -> Sequence[Included]:
        rows = []
        for key, item in account.plan.entitlements.items():
            if isinstance(item, Static):
                rows.append(Included(self._formats.feature(key), self._formats.number(item.value)))
            elif isinstance(item, Boolean):
                rows.append(Included(self._formats.feature(key), self._formats.text("on" if item.enabled else "off")))
        return rows

    def _grant(self, standing: StandingGrant, catalog: FeatureCatalog, now: datetime) -> GrantRow | None:
        grant, write = standing.grant, self._formats
        feature = catalog.get(grant.feature)
        if feature is None or grant.state_at(now, standing.left) not in (GrantState.ACTIVE, GrantState.SCHEDULED):
            return None
        return GrantRow(
            feature=write.feature(grant.feature),
            kind=write.text(f"grant_kind_{grant.kind.value}"),
            amount=write.amount(grant.quantity, feature),
            left=write.amount(standing.left, feature),
            expires=write.text("never") if grant.expires_at is None else write.moment(grant.expires_at),
        )

    def _period(self, account: Account) -> str:
        period = account.billing.period(Reset.BILLING_PERIOD, account.now)
        if period.starts_at is None or period.resets_at is None:
            return self._formats.text("period_open")
        return self._formats.text("period", start=self._formats.day(period.starts_at), end=self._formats.day(period.resets_at - INSTANT))


def _level(balance: Balance, tenths: Decimal | None) -> str:
    if balance.limit is None or tenths is None:
        return "calm"
    if balance.overage:
        return "over"
    if tenths >= 100:
        return "full" if balance.used or balance.limit else "calm"
    return "near" if tenths >= NEAR_PERCENT else "calm"
