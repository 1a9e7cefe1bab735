from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from core.history.explanation import Burnt, GrantPart, LimitSource, SourceKind, grant_parts, limit_sources, sentence
from core.metering.balance import Balance
from core.metering.funds import Funds, Source
from core.metering.grants import GrantKind
from core.plans.agreement import Addon, Override
from core.plans.features import Feature
from core.plans.periods import Period
from core.plans.plan import Boolean, Entitlement, Metered, Plan, Static

NOW = datetime(2026, 11, 27, 10, 32, tzinfo=UTC)
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
SESSIONS, MINUTES = Feature("sessions", "session"), Feature("minutes", "minute", 60)
ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


def stands(used: int, held: int = 0, limit: int | None = 30, *, hard: bool = True, zone: str = "UTC", minutes: int = 33) -> str:
    balance = Balance(SESSIONS, limit, hard, NOVEMBER, used, held)
    return sentence(balance, NOW, zone, (NOW + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)) if held else None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (stands(28, 2), "30 of 30 sessions are used or set aside: 28 used, 2 held by running operations until 11:05 UTC."),
        (
            stands(28, 2, zone="Europe/Vienna"),
            "30 of 30 sessions are used or set aside: 28 used, 2 held by running operations until 12:05 (Europe/Vienna).",
        ),
        (
            stands(0, 1, minutes=24 * 60),
            "1 of 30 sessions are used or set aside: 0 used, 1 held by running operations until 2026-11-28 10:32 UTC.",
        ),
        (stands(12), "12 of 30 sessions are used."),
        (stands(31, hard=False), "31 of 30 sessions are used; the limit is soft, and refuses nothing."),
        (stands(12, limit=None), "Sessions are not limited: 12 used."),
        (stands(12, 3, None), "Sessions are not limited: 12 used, 3 held by running operations until 11:05 UTC."),
    ],
)
def test_one_sentence_says_where_a_feature_stands(told: str, expected: str) -> None:
    assert told == expected


def plan(key: str, **entitlements: Entitlement) -> Plan:
    return Plan(key, 1, key, entitlements)


def parts(found: list[LimitSource]) -> list[tuple[str, str | None, Decimal | None]]:
    return [(part.source.value, part.id, part.quantity) for part in found]


PRO, PACK = plan("pro", minutes=Metered(600)), plan("pack", minutes=Metered(60))


def test_a_limit_is_the_sum_of_its_sources() -> None:
    grants = [GrantPart(ONE, GrantKind.PAID, 30), GrantPart(TWO, GrantKind.ROLLOVER, 60), GrantPart(THREE, GrantKind.PROMOTIONAL, 0)]
    found = limit_sources("minutes", PRO, None, [(Addon(("pack", 1), 3), PACK)], grants, MINUTES)
    assert parts(found) == [
        ("plan", "pro", Decimal(10)),
        ("addon", "pack", Decimal(3)),
        ("grant", str(ONE), Decimal("0.5")),
        ("rollover", str(TWO), Decimal(1)),
    ]


def test_an_override_stands_in_place_of_the_plan_and_add_ons_add_to_it() -> None:
    found = limit_sources("minutes", PRO, (ONE, Override("minutes", 120)), [(Addon(("pack", 1), 1), PACK)], (), MINUTES)
    assert parts(found) == [("override", str(ONE), Decimal(2)), ("addon", "pack", Decimal(1))]


def test_to_what_is_unlimited_nothing_is_added() -> None:
    addon = (Addon(("pack", 1), 1), PACK)
    assert parts(limit_sources("minutes", plan("all", minutes=Metered(None)), None, [addon], (), MINUTES)) == [("plan", "all", None)]
    unlimited = (Addon(("all", 1), 1), plan("all", minutes=Metered(None)))
    assert parts(limit_sources("minutes", PRO, None, [unlimited], (), MINUTES)) == [("plan", "pro", Decimal(10)), ("addon", "all", None)]


def test_what_the_plan_lacks_comes_from_the_add_on_alone() -> None:
    assert parts(limit_sources("minutes", plan("free"), None, [(Addon(("pack", 1), 2), PACK)], (), MINUTES)) == [("addon", "pack", 2)]
    assert limit_sources("minutes", plan("free"), None, (), (), MINUTES) == []


def test_numbers_that_a_plan_grants_have_sources_too() -> None:
    addon = (Addon(("more", 1), 2), plan("more", size=Static(Decimal("2.5"))))
    found = limit_sources("size", plan("pro", size=Static(Decimal(60))), None, [addon], (), None)
    assert parts(found) == [("plan", "pro", Decimal(60)), ("addon", "more", Decimal(5))]
    switched = (Addon(("more", 1), 1), plan("more", exports=Boolean(True)))
    assert limit_sources("exports", plan("pro", exports=Boolean(False)), None, [switched], (), None) == []


def test_a_grant_adds_what_the_period_burnt_of_it_and_what_it_has_left() -> None:
    end = NOVEMBER.end
    funds = Funds(10, (Source(ONE, 3, None), Source(TWO, 4, end), Source(None, 0, end)), NOVEMBER.start, end, NOVEMBER.start, 10, 9, 0)
    balance = Balance(SESSIONS, funds.limit, True, NOVEMBER, 19, 0, funds)
    rollover = UUID(int=9)
    burnt = [
        Burnt(ONE, GrantKind.PAID, None, 2),
        Burnt(THREE, GrantKind.PROMOTIONAL, NOVEMBER.start, 1),
        Burnt(rollover, GrantKind.ROLLOVER, end, 6),
    ]
    found = grant_parts(balance, burnt)
    assert found == [
        GrantPart(ONE, GrantKind.PAID, 5),
        GrantPart(THREE, GrantKind.PROMOTIONAL, 1),
        GrantPart(rollover, GrantKind.ROLLOVER, 10),
    ]
    assert sum(part.quantity for part in found) == (balance.limit or 0) - 10
    assert SourceKind.ROLLOVER.value == "rollover"
