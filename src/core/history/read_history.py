"""What a customer used in the past, bucket by bucket, beside the limits that were in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from core.clock import Clock
from core.customers.ports import TermsReader
from core.history.buckets import By, InvalidSpan, buckets
from core.history.overage import Standing, cuts_of, standings
from core.history.ports import Sums, UsageSums
from core.metering.balance import FeatureNotInPlan
from core.metering.entitlements import countable
from core.metering.ledger import Share, bounded
from core.metering.timeline import Span, timeline
from core.plans.agreement import Agreement, PlanVersion
from core.plans.features import Feature
from core.plans.periods import INSTANT, Period
from core.plans.plan import Metered, Plan
from core.plans.ports import PlanReader
from core.plans.terms import Terms, TermsHistory

INTERVALS_MAX: Final = 20_000
"""How many sums one answer may take, of all its features."""

Agreed = tuple[PlanVersion, Agreement]


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which history. `feature` of None is all features that the plan meters, or that were ever used; for the times see `buckets`."""

    customer_id: str
    feature: str | None = None
    by: By = By.MONTH
    since: datetime | None = None
    until: datetime | None = None
    by_dimension: bool = False


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One feature in one bucket. `shares`, if they were asked for, are bounded, and add up to what was used."""

    feature: Feature
    period: Period
    standing: Standing
    shares: Sequence[Share] | None = None


class ReadHistory:
    """What was used of each feature, hour by hour or by days, weeks, months or billing periods.

    - Usage counts when it occurred: a late record and a correction show in the bucket of their instant.
    - Buckets without usage are there.
    - Limits are those of the plan, the override and the add-ons that were in force, and of grants.
    """

    def __init__(self, terms: TermsReader, plans: PlanReader, sums: UsageSums, clock: Clock) -> None:
        self._terms = terms
        self._plans = plans
        self._sums = sums
        self._clock = clock

    async def execute(self, query: HistoryQuery) -> list[HistoryItem]:
        """By feature, in the order of time. Raises CustomerNotFound, InvalidSpan, and FeatureNotInPlan for what nobody declared."""
        now = self._clock()
        history = TermsHistory.of(await self._terms.history(query.customer_id))
        periods = buckets(history, query.by, since=query.since, until=query.until, now=now)
        plans = await plans_of(self._plans, history)
        features = await self._features(query, history, plans, now)
        spans = {feature.key: limited_spans(history, plans, feature.key, periods, now) for feature in features}
        cuts = {key: cuts_of(periods, found) for key, found in spans.items()}
        if sum(map(len, cuts.values())) > INTERVALS_MAX:
            raise InvalidSpan("since", "That is too much for one answer: ask for one feature, a shorter time, or longer buckets.")
        sums = await self._sums.between(query.customer_id, cuts, now=now, by_dimension=query.by_dimension)
        return [
            item
            for feature in features
            for item in _items(feature, periods, spans[feature.key], cuts[feature.key], sums[feature.key], by_dimension=query.by_dimension)
        ]

    async def _features(self, query: HistoryQuery, history: TermsHistory, plans: Mapping[Agreed, Plan], now: datetime) -> Sequence[Feature]:
        """Those of the plan in its order, and then what was used beside it."""
        catalog = await self._plans.features()
        terms = history.at(now) or history.first
        plan = plans[terms.plan, terms.agreement]
        if query.feature is not None:
            feature = catalog.get(query.feature)
            if feature is None:
                raise FeatureNotInPlan(plan.key, query.feature, declared=False)
            return [feature]
        metered = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
        used = await self._sums.features(query.customer_id)
        return [feature for key in dict.fromkeys([*metered, *sorted(used)]) if (feature := catalog.get(key)) is not None]


async def plans_of(reader: PlanReader, history: TermsHistory) -> Mapping[Agreed, Plan]:
    """What applied under all terms that the customer ever had, and will have."""
    agreed = {(terms.plan, terms.agreement) for _, terms in history.steps()}
    agreed |= {(terms.plan, terms.agreement) for instant in history.instants if (terms := history.at(instant))}
    return {terms: await reader.applying(*terms) for terms in agreed}


def limited_spans(
    history: TermsHistory, plans: Mapping[Agreed, Plan], feature: str, periods: Sequence[Period], now: datetime
) -> list[Span]:
    """The periods in which the feature was counted while these buckets passed, as far as they have begun."""
    since = min(periods[0].start, now)
    last = max(since, min(periods[-1].end - INSTANT, now))
    return timeline(history, partial(_metered, plans, feature), since=since, now=last)


def _metered(plans: Mapping[Agreed, Plan], feature: str, terms: Terms) -> Metered:
    return countable(plans[terms.plan, terms.agreement], feature)


def _items(
    feature: Feature, periods: Sequence[Period], spans: Sequence[Span], cuts: Sequence[datetime], sums: Sums, *, by_dimension: bool
) -> list[HistoryItem]:
    used = [sum(share.quantity for share in shares) for shares in sums.shares]
    stand = standings(periods, spans, cuts, used, sums.granted)
    if not by_dimension:
        return [HistoryItem(feature, period, standing) for period, standing in zip(periods, stand, strict=True)]
    shares = _shares(periods, cuts, sums)
    return [HistoryItem(feature, *item) for item in zip(periods, stand, shares, strict=True)]


def _shares(periods: Sequence[Period], cuts: Sequence[datetime], sums: Sums) -> list[list[Share]]:
    found: list[list[Share]] = []
    at = 0
    for period in periods:
        totals: dict[str | None, int] = {}
        while cuts[at] < period.start:
            at += 1
        while at < len(sums.shares) and cuts[at] < period.end:
            for dimension, quantity in ((share.dimension, share.quantity) for share in sums.shares[at]):
                totals[dimension] = totals.get(dimension, 0) + quantity
            at += 1
        found.append(bounded([Share(dimension, quantity) for dimension, quantity in totals.items() if quantity]))
    return found
