"""Histories of what was agreed, for tests of what follows from them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from core.plans.periods import Billing, Interval
from core.plans.terms import TermsChange, TermsHistory

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def billing(zone: str = "UTC", anchor: datetime | None = JANUARY, interval: Interval = Interval.MONTH) -> Billing:
    return Billing(anchor, interval, ZoneInfo(zone))


def agreed(*changes: tuple[datetime, str | None, Billing | None]) -> TermsHistory:
    """Each with the instant from which it is in force, the plan and the calendar; None keeps what was before."""
    return TermsHistory.of(entries(changes))


def entries(changes: Sequence[tuple[datetime, str | None, Billing | None]]) -> list[TermsChange]:
    return [
        TermsChange(
            id=UUID(int=number),
            customer_id="acme",
            effective_at=at,
            recorded_at=at,
            recorded_by="test",
            plan=(plan, 1) if plan else None,
            billing=calendar,
        )
        for number, (at, plan, calendar) in enumerate(changes, 1)
    ]
