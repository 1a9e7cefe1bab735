"""The plans that the reference model and the engine are compared on, and the reference's own calendar: it lists starts of periods."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.periods import BEGINNING, END, Interval, Reset
from core.plans.plan import Boolean, Enforcement, Static

RESOLUTIONS: Final = {"calls": 1, "storage": 1000, "seats": 1, "tokens": 1, "exports": 1, "messages": 1, "extras": 1}
"""The declared features; `extras` is in no plan."""

PLANS: Final = {
    "small": PlanDraft(
        "small",
        "Small",
        {
            "calls": MeteredDraft(Decimal(20)),
            "storage": MeteredDraft(Decimal("7.5"), Reset.MONTH),
            "seats": MeteredDraft(Decimal(5), enforcement=Enforcement.SOFT),
            "tokens": MeteredDraft(None, Reset.DAY),
            "exports": MeteredDraft(Decimal(0)),
            "messages": MeteredDraft(Decimal(60), Reset.NEVER),
            "team_size": Static(Decimal(5)),
            "sign_on": Boolean(False),
        },
    ),
    "large": PlanDraft(
        "large",
        "Large",
        {
            "calls": MeteredDraft(Decimal(40), Reset.MONTH),
            "storage": MeteredDraft(Decimal("8.5"), Reset.WEEK),
            "seats": MeteredDraft(Decimal(12)),
            "tokens": MeteredDraft(Decimal(30), Reset.DAY),
            "exports": MeteredDraft(Decimal(3), Reset.WEEK),
            "messages": MeteredDraft(Decimal(20), Reset.NEVER, Enforcement.SOFT),
            "team_size": Static(Decimal(50)),
            "sign_on": Boolean(True),
        },
    ),
    "bare": PlanDraft("bare", "Bare", {"calls": MeteredDraft(Decimal(10))}),
}

NOT_IN_PLAN: Final = MeteredDraft(Decimal(0))

LONGEST_DAYS: Final = {Interval.DAY: 1, Interval.WEEK: 7, Interval.MONTH: 31, Interval.YEAR: 366}


@dataclass
class Owner:
    """A customer: on a plan, with a calendar of its own."""

    plan: str
    anchor: datetime | None
    interval: Interval
    zone: ZoneInfo

    def period(self, reset: Reset, now: datetime) -> tuple[datetime, datetime]:
        """The last start that has come, and the first one to come."""
        starts = list(self._starts(reset, now))
        return max(start for start in starts if start <= now), min(start for start in starts if start > now)

    def _starts(self, reset: Reset, now: datetime) -> Iterable[datetime]:
        """The starts of periods around now."""
        today = now.astimezone(self.zone).date()
        days = [today + timedelta(days) for days in range(-40, 40)]
        match reset:
            case Reset.DAY:
                return [_midnight(day, self.zone) for day in days]
            case Reset.WEEK:
                return [_midnight(day, self.zone) for day in days if day.weekday() == 0]
            case Reset.MONTH:
                return [_midnight(day, self.zone) for day in days if day.day == 1]
            case Reset.BILLING_PERIOD if self.anchor is not None:
                near = (now - self.anchor).days // LONGEST_DAYS[self.interval]
                return [_plus(self.anchor, self.interval, n, self.zone) for n in range(near - 9, near + 10)]
        return [BEGINNING, END]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _plus(anchor: datetime, interval: Interval, n: int, zone: ZoneInfo) -> datetime:
    """n intervals later by the wall clock; a day that the month does not have is its last."""
    if n == 0:
        return anchor
    wall = anchor.astimezone(zone).replace(tzinfo=None, fold=0)
    if interval in (Interval.DAY, Interval.WEEK):
        wall += n * timedelta(days=1 if interval is Interval.DAY else 7)
    else:
        year, month = divmod(wall.year * 12 + wall.month - 1 + n * (12 if interval is Interval.YEAR else 1), 12)
        wall = wall.replace(year=year, month=month + 1, day=min(wall.day, monthrange(year, month + 1)[1]))
    return wall.replace(tzinfo=zone).astimezone(UTC)
