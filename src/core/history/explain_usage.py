"""Take a decision to pieces: where the limit comes from, what was used, what is held by whom, and one plain sentence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.clock import Clock
from core.customers.ports import TermsReader
from core.history.explanation import Explanation, Facts, GrantPart, LimitSource, grant_parts, limit_sources, sentence
from core.history.ports import UsageFacts
from core.metering.account import Account
from core.metering.balance import Amount, Balance, FeatureNotInPlan
from core.metering.check_usage import Checked, checked
from core.metering.ports import AccountReader, PastAccounts
from core.plans.agreement import NO_AGREEMENT, Addon, Override
from core.plans.features import Feature, FeatureCatalog
from core.plans.plan import Metered, Plan, Static
from core.plans.ports import PlanReader
from core.plans.terms import Terms, TermsHistory


@dataclass(frozen=True, slots=True)
class ExplainQuery:
    """Which decision: so much of each feature together, at that instant (None: now)."""

    customer_id: str
    amounts: Sequence[Amount]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """What the decision is, or was, and by feature what it is made of."""

    checked: Checked
    features: Mapping[str, Explanation]


@dataclass(frozen=True, slots=True)
class _Agreed:
    """A customer's terms at one instant, and the plans that they name."""

    terms: Terms
    plan: Plan
    addons: Sequence[tuple[Addon, Plan]]
    overrides: Mapping[str, tuple[UUID | None, Override]]
    catalog: FeatureCatalog


class ExplainUsage:
    """Why would this much be admitted or refused now, or why was it at an instant?

    - Of a past instant, it is decided by what was known then: the plan, the grants, the usage and the holds of that instant.
    - A feature that the plan does not meter is told in its sentence.
    """

    def __init__(
        self, accounts: AccountReader, past: PastAccounts, terms: TermsReader, plans: PlanReader, facts: UsageFacts, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._past = past
        self._terms = terms
        self._plans = plans
        self._facts = facts
        self._clock = clock

    async def execute(self, query: ExplainQuery) -> Explained:
        """Raises CustomerNotFound, NotYetACustomer and InvalidQuantity."""
        now = self._clock()
        at = now if query.at is None else query.at
        keys = list(dict.fromkeys(amount.feature for amount in query.amounts))
        if query.at is None:
            account = await self._accounts.read(query.customer_id, keys, now)
        else:
            account = await self._past.read(query.customer_id, at, at if at <= now else None)
        agreed = await self._agreed(query.customer_id, at)
        balances = _balances(account, keys)
        periods = {key: balance.period for key, balance in balances.items()}
        facts = await self._facts.read(query.customer_id, periods, at, as_known_then=query.at is not None)
        for key, balance in balances.items():
            held = facts[key].held
            account.see(balance._replace(used=facts[key].booked.quantity, held=held.quantity, held_until=held.until))
        unknown = next((key for key in keys if key not in balances and _is_metered(account, key)), None)
        if unknown is None:
            decided = checked(account, query.amounts)
        else:
            declared = agreed.catalog.get(unknown) is not None
            decided = Checked(FeatureNotInPlan(account.plan.key, unknown, declared=declared), account.balances(balances))
        return Explained(decided, {key: _explained(key, account, agreed, facts.get(key)) for key in keys})

    async def _agreed(self, customer_id: str, at: datetime) -> _Agreed:
        history = TermsHistory.of(await self._terms.history(customer_id))
        terms = history.at(at) or history.first
        agreement = terms.agreement
        ids = {change.override: change.id for change in history.changes if change.override and change.effective_at <= at}
        return _Agreed(
            terms,
            await self._plans.applying(terms.plan, NO_AGREEMENT),
            [(addon, await self._plans.applying(addon.version, NO_AGREEMENT)) for addon in agreement.addons],
            {override.feature: (ids.get(override), override) for override in agreement.overrides},
            await self._plans.features(),
        )


def _is_metered(account: Account, key: str) -> bool:
    return isinstance(account.plan.entitlements.get(key, Metered(0)), Metered)


def _balances(account: Account, keys: Collection[str]) -> dict[str, Balance]:
    """Of those that are counted for the account."""
    return {key: account.balance(key) for key in keys if account.knows(key) and _is_metered(account, key)}


def _explained(key: str, account: Account, agreed: _Agreed, facts: Facts | None) -> Explanation:
    feature = agreed.catalog.get(key)
    if facts is None:
        return Explanation(_of_what_is_not_counted(key, account, feature), _sources(key, agreed, feature, ()), feature)
    balance = account.balance(key)
    if key in account.plan.entitlements:
        zone = agreed.terms.billing.zone
        told = sentence(balance, account.now, zone.key, facts.held.until and facts.held.until.astimezone(zone))
    else:
        told = _of_what_is_not_counted(key, account, feature)
    limit = _sources(key, agreed, feature, grant_parts(balance, facts.burnt))
    return Explanation(told, limit, feature, balance, facts.booked, facts.held)


def _sources(key: str, agreed: _Agreed, feature: Feature | None, parts: Sequence[GrantPart]) -> list[LimitSource]:
    return limit_sources(key, agreed.plan, agreed.overrides.get(key), agreed.addons, parts, feature)


def _of_what_is_not_counted(key: str, account: Account, feature: Feature | None) -> str:
    match account.plan.entitlements.get(key):
        case Static(value):
            return f"Plan {account.plan.key!r} grants {key!r} up to {value:f}."
        case None | Metered():
            return FeatureNotInPlan(account.plan.key, key, declared=feature is not None).message
        case entitlement:
            return f"Plan {account.plan.key!r} switches {key!r} {'on' if entitlement.enabled else 'off'}."
