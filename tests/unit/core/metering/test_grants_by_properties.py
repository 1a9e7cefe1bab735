"""Whatever happens, and in whatever order it becomes known: what grants have left is what a plain account of it says."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.metering.grants import GrantKind
from core.plans.rollover import Rollover
from tests.unit.fakes.granted import World
from tests.unit.fakes.plain_grants import PlainGrant, plainly

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
"""The customer is there from then on; its periods are months."""
END = datetime(2026, 12, 20, tzinfo=UTC)


class Given(NamedTuple):
    """A grant, days after the beginning."""

    quantity: int
    kind: GrantKind
    priority: int
    effective: int
    lasts: int | None
    voided: int | None


class Used(NamedTuple):
    """Usage, hours after the beginning, how many hours later it became known, and what a correction took back so many hours later."""

    quantity: int
    hour: int
    late: int
    corrected: int
    corrected_late: int


@dataclass(frozen=True)
class Story:
    limit: int
    rollover: Rollover | None
    downgrade: tuple[int, int] | None
    grants: tuple[Given, ...]
    used: tuple[Used, ...]


stories = st.builds(
    Story,
    limit=st.integers(0, 30),
    rollover=st.none() | st.builds(Rollover, st.none() | st.integers(0, 20), st.integers(1, 2)),
    downgrade=st.none() | st.tuples(st.integers(5, 100), st.integers(0, 40)),
    grants=st.lists(
        st.builds(
            Given,
            quantity=st.integers(1, 30),
            kind=st.sampled_from([GrantKind.PAID, GrantKind.PROMOTIONAL]),
            priority=st.sampled_from([50, 100, 100, 200]),
            effective=st.integers(0, 90),
            lasts=st.none() | st.integers(1, 60),
            voided=st.none() | st.integers(1, 30),
        ),
        max_size=4,
    ).map(tuple),
    used=st.lists(
        st.builds(
            Used,
            quantity=st.integers(1, 25),
            hour=st.integers(0, 100 * 24),
            late=st.sampled_from([0, 0, 5, 100, 34 * 24]),
            corrected=st.integers(0, 25),
            corrected_late=st.integers(0, 60 * 24),
        ),
        max_size=10,
    ).map(tuple),
)


def told(story: Story, *, in_time: bool = False) -> World:
    """What the service makes of it; `in_time`: everything becomes known as it happens."""
    world = World(story.limit, story.rollover, at=BEGIN)
    made, booked = {}, {}
    steps: list[tuple[datetime, int, str, int]] = []
    if story.downgrade is not None:
        steps.append((BEGIN + timedelta(days=story.downgrade[0], minutes=30), 0, "downgrade", 0))
    for number, grant in enumerate(story.grants):
        at = BEGIN + timedelta(days=grant.effective, minutes=20 + number)
        steps.append((at, 1, "grant", number))
        if grant.voided is not None:
            steps.append((at + timedelta(days=grant.voided), 2, "void", number))
    for number, used in enumerate(story.used):
        at = BEGIN + timedelta(hours=used.hour, seconds=number) + timedelta(hours=0 if in_time else used.late)
        steps.append((at, 3, "use", number))
        if used.corrected:
            steps.append((at + timedelta(hours=0 if in_time else used.corrected_late, microseconds=1), 4, "correct", number))
    for world.at, _, what, number in sorted((min(at, END), *step) for at, *step in steps):
        match what:
            case "downgrade":
                assert story.downgrade is not None
                world.change_plan(story.downgrade[1], story.rollover)
            case "grant":
                grant = story.grants[number]
                end = None if grant.lasts is None else world.at + timedelta(days=grant.lasts)
                made[number] = world.grant(grant.quantity, grant.kind, priority=grant.priority, expires_at=end, reference=str(number))
            case "void":
                if world.store.grants["acme", made[number].id].ends_at > world.at:
                    world.void(made[number])
            case "use":
                used = story.used[number]
                booked[number] = world.use(used.quantity, at=BEGIN + timedelta(hours=used.hour, seconds=number))
            case _:
                world.correct(booked[number], -min(story.used[number].corrected, story.used[number].quantity))
    world.at = END
    world.balance  # noqa: B018 (what the clock has brought about is written)
    return world


def by_hand(story: Story) -> dict[str, int]:
    """What is left of each grant at the end, by its reference, or by the month that it is rolled over into."""
    plain = {}
    for number, grant in enumerate(story.grants):
        at = BEGIN + timedelta(days=grant.effective, minutes=20 + number)
        expires = None if grant.lasts is None else at + timedelta(days=grant.lasts)
        voided = None if grant.voided is None else at + timedelta(days=grant.voided)
        plain[str(number)] = PlainGrant(grant.quantity, grant.kind, grant.priority, at, expires, voided)
    usage: defaultdict[datetime, int] = defaultdict(int)
    for number, used in enumerate(story.used):
        usage[BEGIN + timedelta(hours=used.hour, seconds=number)] += used.quantity - min(used.corrected, used.quantity)
    limits = [(BEGIN, story.limit)]
    if story.downgrade is not None:
        limits.append((BEGIN + timedelta(days=story.downgrade[0], minutes=30), story.downgrade[1]))
    return plainly(plain, usage, limits, story.rollover, BEGIN, END).left


def outcome(world: World) -> dict[str, int]:
    names = {grant.id: grant.reference or f"from {grant.effective_at:%Y-%m}" for grant in world.store.grants.values()}
    return {names[grant.id]: world.left(grant) for grant in world.store.grants.values()}


@given(stories)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_is_left_is_what_a_plain_account_says(story: Story) -> None:
    expected = {name: left for name, left in by_hand(story).items() if left or not name.startswith("from")}
    found = {name: left for name, left in outcome(told(story)).items() if left or not name.startswith("from")}
    assert found == expected


@given(stories)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_order_in_which_the_same_facts_arrive_changes_what_comes_of_them(story: Story) -> None:
    late, in_time = told(story), told(story, in_time=True)
    assert late.balance.used == in_time.balance.used
    assert late.balance.limit == in_time.balance.limit
    assert late.balance.overage == in_time.balance.overage
    assert {k: v for k, v in outcome(late).items() if v} == {k: v for k, v in outcome(in_time).items() if v}


@given(stories)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_amounts_are_burnt_or_left_or_trimmed_and_nothing_of_it_is_below_zero(story: Story) -> None:
    world = told(story)
    for grant in world.store.grants.values():
        sums: defaultdict[str, int] = defaultdict(int)
        for entry in world.store.entries:
            if entry.grant_id == grant.id:
                sums[entry.kind] += entry.quantity
        burnt = sums["burn"] - sums["return"]
        assert burnt >= 0
        assert sums["trim"] >= 0
        assert world.left(grant) >= 0
        assert grant.quantity + sums["roll"] == burnt + sums["trim"] + world.left(grant)


@given(stories)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_is_stored_is_what_a_replay_of_everything_says(story: Story) -> None:
    world = told(story)
    before, entries = world.balance, len(world.store.entries)
    world.store.counters.clear()
    assert world.balance.used == before.used
    funds, again = before.funds, world.balance.funds
    assert len(world.store.entries) == entries
    if funds is not None and again is not None:
        assert (funds.allowance_used, funds.burnt, funds.uncovered, funds.granted) == (
            again.allowance_used,
            again.burnt,
            again.uncovered,
            again.granted,
        )
