"""A meter's books, read from PostgreSQL: the terms, the grants, what was used and what was posted."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from core.metering.books import Opened, Place, Total, next_event, opened
from core.metering.entitlements import countable
from core.metering.funds import Funds
from core.metering.grants import EntryKind, Grant, GrantKind
from core.metering.meters import Meter
from core.metering.timeline import Span, timeline
from core.plans.periods import BEGINNING, Period
from core.plans.plan import Metered
from core.plans.terms import Terms, TermsHistory
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.grants import to_grant
from infrastructure.sql.engine.ledger import used_within
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.terms import read_history

_GRANTS: Final = HotStatement("SELECT * FROM usage_grant WHERE customer_id = :customer_id AND feature = :feature")

_LATEST: Final = HotStatement(
    """
    SELECT max(occurred_at) FROM usage_record
    WHERE customer_id = :customer_id AND feature = :feature AND occurred_at > :now AND occurred_at < :ends_at
      AND occurred_at = recorded_at
    """
)

_TOTALS: Final = HotStatement(
    """
    SELECT wanted.n, entry.grant_id, entry.kind, CAST(sum(entry.quantity) AS bigint) AS quantity
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) WITH ORDINALITY AS wanted (starts_at, ends_at, n)
    CROSS JOIN LATERAL (
        SELECT e.grant_id, e.kind, e.quantity FROM grant_entry AS e
        WHERE e.customer_id = :customer_id AND e.grant_id = ANY(CAST(:grant_ids AS uuid[]))
          AND e.occurred_at >= wanted.starts_at AND e.occurred_at < wanted.ends_at
        OFFSET 0
    ) AS entry
    GROUP BY wanted.n, entry.grant_id, entry.kind
    """
)


async def read_books(
    driver: Driver,
    catalog: PlanCatalog,
    meter: Meter,
    *,
    since: datetime | None,
    now: datetime,
    agreed_at: datetime,
    instants: Iterable[datetime] = (),
    unwritten: Iterable[Grant] = (),
    looked_at: datetime | None = None,
    new_id: Callable[[], UUID],
) -> Opened:
    """From the period that contains `since` on, until the one that contains `now`; `since` of None: from the first grant on.

    `unwritten` are grants that this transaction has made, or voided, and not written yet. `looked_at` is until when the clock's doings
    are posted: another process, whose clock is ahead, may have looked later than now, and what it posted is not taken back.
    """
    history = TermsHistory.of(await read_history(driver, meter.customer_id))
    metered = await _metered(driver, catalog, history, meter.feature)
    rows = await _GRANTS.fetch(driver, {"customer_id": meter.customer_id, "feature": meter.feature})
    grants = list({grant.id: grant for grant in (*map(to_grant, rows), *unwritten)}.values())
    since = min(since or _beginning(history, metered, grants, now), now)
    cuts = {*instants, *(instant for grant in grants for instant in (grant.effective_at, grant.ends_at))}
    spans = timeline(history, metered, since=since, now=now, instants=cuts)
    booked = await _latest(driver, meter, now, spans[-1].end)
    ahead = max(instant for instant in (now, booked, looked_at) if instant is not None)
    if now < ahead < spans[-1].end:
        now = ahead
        spans = timeline(history, metered, since=since, now=now, instants=cuts)
    grants = [grant for grant in grants if grant.ends_at > spans[0].start]
    period = spans[-1].period
    until = next_event(now, period, grants, history.turns(now, period.end))
    totals = await _totals(driver, meter, spans, grants) if grants else []
    return opened(meter, spans, grants, totals, await _used(driver, meter, spans), now, until, agreed_at, new_id)


async def funds_as_of(
    driver: Driver,
    catalog: PlanCatalog,
    history: TermsHistory,
    meter: Meter,
    *,
    at: datetime,
    known_at: datetime | None,
    used: Callable[[Sequence[Period]], Awaitable[Mapping[Period, int]]],
) -> Funds | None:
    """Where a feature stood at an instant, as far as was known: by a replay of everything, so that no entry is asked.

    `used` answers what had been used within periods, by what was known. None where there was nothing but an allowance.
    """
    metered = await _metered(driver, catalog, history, meter.feature)
    rows = await _GRANTS.fetch(driver, {"customer_id": meter.customer_id, "feature": meter.feature})
    grants = [known for row in rows if (known := _as_known(to_grant(row), known_at)) is not None]
    if not grants and not any(metered(terms).rollover for _, terms in history.steps()):
        return None
    cuts = {instant for grant in grants for instant in (grant.effective_at, grant.ends_at)}
    spans = timeline(history, metered, since=_beginning(history, metered, grants, at), now=at, instants=cuts)
    places = _places(spans)
    sums = await used(list(places.values()))
    by_place = {place: sums[period] for place, period in places.items()}
    return opened(meter, spans, grants, [], by_place, at, spans[-1].end, at, uuid4).books.replay(by_place).funds


def _as_known(grant: Grant, known_at: datetime | None) -> Grant | None:
    """A rollover is what a replay makes of the rest; a void that nobody knew of had not been."""
    if grant.kind is GrantKind.ROLLOVER or (known_at is not None and grant.created_at > known_at):
        return None
    unknown = known_at is not None and grant.voided_at is not None and grant.voided_at > known_at
    return replace(grant, voided_at=None) if unknown else grant


async def _latest(driver: Driver, meter: Meter, now: datetime, end: datetime) -> datetime | None:
    """When the last usage was admitted by a process whose clock is ahead of this one's; None where none was."""
    parameters = {"customer_id": meter.customer_id, "feature": meter.feature, "now": now, "ends_at": end}
    latest: datetime | None = (await _LATEST.fetch(driver, parameters))[0][0]
    return latest


async def _metered(driver: Driver, catalog: PlanCatalog, history: TermsHistory, feature: str) -> Callable[[Terms], Metered]:
    """How the feature is metered under the customer's terms, past and ahead."""
    agreed = {(terms.plan, terms.agreement) for _, terms in history.steps()}
    agreed |= {(terms.plan, terms.agreement) for instant in history.instants if (terms := history.at(instant))}
    plans = await catalog.plans_of(driver, agreed)
    found = {key: countable(plans[key], feature) for key in agreed}

    def metered(terms: Terms) -> Metered:
        return found[terms.plan, terms.agreement]

    return metered


def _beginning(history: TermsHistory, metered: Callable[[Terms], Metered], grants: Sequence[Grant], now: datetime) -> datetime:
    """Since when anything was granted, or could roll over."""
    rolling = [change.effective_at for change, terms in history.steps() if metered(terms).rollover is not None]
    return min([*rolling, *(grant.effective_at for grant in grants), now])


async def _totals(driver: Driver, meter: Meter, spans: Sequence[Span], grants: Sequence[Grant]) -> list[Total]:
    parameters = {
        "customer_id": meter.customer_id,
        "grant_ids": [grant.id for grant in grants],
        "starts": [BEGINNING, *(span.start for span in spans)],
        "ends": [spans[0].start, *(span.end for span in spans)],
    }
    rows = await _TOTALS.fetch(driver, parameters)
    return [Total(None if row["n"] == 1 else row["n"] - 2, row["grant_id"], EntryKind(row["kind"]), row["quantity"]) for row in rows]


async def _used(driver: Driver, meter: Meter, spans: Sequence[Span]) -> dict[Place, int]:
    """The ledger's own sums."""
    places = _places(spans)
    sums = await used_within(driver, [(meter, period) for period in places.values()])
    return {place: sums[meter, period] for place, period in places.items()}


def _places(spans: Sequence[Span]) -> dict[Place, Period]:
    """Where usage counts, and from when to when that is."""
    return {
        Place(number, index): Period(segment.start, segment.end)
        for number, span in enumerate(spans)
        for index, segment in enumerate(span.segments)
    }
