"""Thresholds, case by case: level and not edge, once for each customer, feature, period and threshold."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.customers.customer import Customer
from core.customers.override_limit import EndOverride, EndOverrideCommand, OverrideLimit, OverrideLimitCommand
from core.customers.own_alerts import EndAlerts, EndAlertsCommand, InvalidThreshold, PutAlerts, PutAlertsCommand, ThresholdDraft
from core.customers.put_addon import PutAddon, PutAddonCommand
from core.customers.put_customer import ChangeCustomer
from core.customers.schedule_plan import SchedulePlan, SchedulePlanCommand
from core.customers.take_effect import TakeEffect, TakeEffectCommand
from core.events.catalogue import CATALOGUE
from core.events.event import Event
from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, FeatureNotInPlan, LimitExceeded
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.correct_record import CorrectRecord, CorrectRecordCommand
from core.metering.grants import Grant, GrantKind
from core.metering.issue_grant import IssueGrant, IssueGrantCommand
from core.metering.ledger import Origin
from core.metering.use_case import Call, execute_one
from core.metering.void_grant import VoidGrant, VoidGrantCommand
from core.plans.alerts import ALERTS_DEFAULT, Threshold, ThresholdType, named, percentages
from core.plans.periods import Reset
from core.plans.plan import Enforcement, Metered, Plan
from core.plans.terms import TermsChange
from tests.unit.fakes.customers import CustomersStore, FakePhoneRegions
from tests.unit.fakes.examples import BILLING

SOFT = Enforcement.SOFT
EXAMPLES = {known.type: known.example for known in CATALOGUE}


class Story:
    """ACME, its plans and a clock; `raised` is what was raised since it was asked last."""

    def __init__(self, limit: int | None = 100, **more: Any) -> None:
        self.at = datetime(2026, 11, 2, 12, tzinfo=UTC)
        plans = [
            Plan("pro", 1, "Pro", {"sessions": Metered(limit, **more)}),
            Plan("half", 1, "Half", {"sessions": Metered(50, **more)}),
            Plan("pack", 1, "Pack", {"sessions": Metered(100)}),
        ]
        customer = Customer("acme", "pro", 1, BILLING, created_at=self.at, updated_at=self.at)
        self.store = CustomersStore(plans, [customer])
        id = self.store.new_id()
        self.store.terms["acme", id] = TermsChange(
            id=id, customer_id="acme", effective_at=self.at, recorded_at=self.at, recorded_by="key 1", plan=("pro", 1), billing=BILLING
        )
        self._seen = 0

    def run(self, use_case: Any, command: Any) -> Any:
        return asyncio.run(execute_one(use_case(self.store.unit_of_work, lambda: self.at), command))

    def agree(self, use_case: Any, **command: Any) -> None:
        kind = {
            OverrideLimit: OverrideLimitCommand,
            EndOverride: EndOverrideCommand,
            PutAddon: PutAddonCommand,
            PutAlerts: PutAlertsCommand,
            EndAlerts: EndAlertsCommand,
            SchedulePlan: SchedulePlanCommand,
            TakeEffect: TakeEffectCommand,
        }[use_case]
        change = use_case(self.store.unit_of_work, lambda: self.at, self.store.new_id)
        asyncio.run(change.execute(kind(customer_id="acme", changed_by="key 1", **command)))

    def change_plan(self, plan: str) -> None:
        change = ChangeCustomer(self.store.unit_of_work, lambda: self.at, FakePhoneRegions(), self.store.new_id)
        asyncio.run(change.execute("acme", {"plan": plan}, "key 1"))

    def own(self, *thresholds: tuple[str, int]) -> None:
        drafts = [ThresholdDraft(ThresholdType(kind), Decimal(value)) for kind, value in thresholds]
        self.agree(PutAlerts, feature="sessions", thresholds=drafts)

    def use(self, quantity: int, *, at: datetime | None = None, enforce: bool = False) -> Consumed:
        mode = Mode.ENFORCE if enforce else Mode.RECORD
        consumed: Consumed = self.run(ConsumeUsage, _usage(quantity, mode, at))
        return consumed

    def correct(self, consumed: Consumed, quantity: int) -> None:
        self.run(CorrectRecord, CorrectRecordCommand("acme", consumed.records[0].id, Decimal(quantity), "mistake", "key 1"))

    def grant(self, quantity: int, **more: Any) -> Grant:
        command = IssueGrantCommand(
            customer_id="acme", feature="sessions", quantity=Decimal(quantity), kind=GrantKind.PAID, created_by="key 1", **more
        )
        grant: Grant = self.run(IssueGrant, command).standing.grant
        return grant

    @property
    def events(self) -> Sequence[Event]:
        """Of usage, since it was asked last."""
        usage = [event for event in self.store.events if event.type.startswith("usage.")]
        new, self._seen = usage[self._seen :], len(usage)
        return new

    @property
    def raised(self) -> list[str]:
        """By their names; each has its row and its event, which say the same."""
        rows = {alert.event_id: alert for alert in self.store.alerts}
        assert len(rows) == len(self.store.alerts) == len([event for event in self.store.events if event.type.startswith("usage.")])
        names = []
        for event in self.events:
            row = rows[event.id]
            assert event.data.keys() == EXAMPLES[event.type].keys()
            assert (event.occurred_at, event.data["used"], event.data["limit"]) == (row.raised_at, row.used, row.limit)
            names.append(row.name)
        return names


def _usage(quantity: int, mode: Mode = Mode.ENFORCE, at: datetime | None = None) -> ConsumeUsageCommand:
    return ConsumeUsageCommand("acme", [Amount("sessions", Decimal(quantity))], Origin("test"), mode=mode, occurred_at=at)


def percent(*values: int) -> list[str]:
    return [f"percent:{value}" for value in values]


def test_a_threshold_is_raised_exactly_where_usage_stands_at_it_and_once() -> None:
    story = Story()
    story.use(79)
    assert story.raised == []
    story.use(1)
    assert story.raised == percent(80)
    story.use(1)
    assert story.raised == []


def test_a_percentage_that_no_whole_part_stands_at_is_raised_by_the_first_part_above_it() -> None:
    story = Story(limit=7, alerts=percentages(80))
    story.use(5)
    assert story.raised == []
    story.use(1)
    assert story.raised == percent(80)


def test_a_jump_over_three_raises_all_three_the_lowest_first_and_the_last_one_is_the_limit() -> None:
    story = Story()
    story.use(100, enforce=True)
    first, second, third = story.events
    assert [event.type for event in (first, second, third)] == ["usage.threshold_reached", "usage.threshold_reached", "usage.limit_reached"]
    assert first.data == {
        "customer_id": "acme", "plan": "pro", "feature": "sessions", "unit": "session", "threshold": {"type": "percent", "value": 80},
        "used": 100, "limit": 100, "remaining": 0, "percent": 100, "resets_at": datetime(2026, 12, 1, tzinfo=UTC),
        "period": {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC)},
    }  # fmt: skip


def test_what_is_refused_raises_nothing_and_neither_does_what_is_taken_back_with_it() -> None:
    story = Story()
    story.use(70)
    with pytest.raises(LimitExceeded):
        story.use(31, enforce=True)
    assert story.raised == []


def test_within_one_transaction_usage_that_went_up_and_came_down_again_was_there() -> None:
    story = Story()
    before = story.use(70)
    use_case = ConsumeUsage(story.store.unit_of_work, lambda: story.at)
    asyncio.run(use_case.execute([Call(_usage(9)), Call(_usage(1)), Call(_usage(50)), Call(_usage(1))]))
    assert story.raised == percent(80)
    story.correct(before, -40)
    story.use(40)
    assert story.raised == []


def test_usage_that_goes_up_and_down_by_corrections_raises_nothing_twice() -> None:
    story = Story()
    for _ in range(3):
        story.correct(story.use(96), -96)
    assert story.raised == percent(80, 95)


def test_a_downgrade_that_lifts_60_percent_to_120_raises_all_of_them_itself() -> None:
    story = Story()
    story.use(60)
    assert story.raised == []
    story.change_plan("half")
    assert story.raised == percent(80, 95, 100)
    story.use(1)
    assert story.raised == ["overage"]


def test_raising_the_limit_and_reaching_it_again_raises_only_what_was_not() -> None:
    story = Story()
    story.use(80)
    assert story.raised == percent(80)
    story.agree(OverrideLimit, feature="sessions", limit=Decimal(200))
    story.use(80)
    assert story.raised == []
    story.use(40)
    assert story.raised == percent(95, 100)


def test_an_override_an_addon_and_their_ends_raise_what_they_lift_usage_to() -> None:
    story = Story()
    story.use(50)
    story.agree(OverrideLimit, feature="sessions", limit=Decimal(60))
    assert story.raised == percent(80)
    story.agree(EndOverride, feature="sessions")
    story.agree(PutAddon, plan="pack", quantity=1)
    story.use(146)
    assert story.raised == percent(95)
    story.agree(PutAddon, plan="pack", quantity=0)
    assert story.raised == percent(100)


def test_a_scheduled_change_raises_when_it_is_written_down_or_met_by_whoever_comes_first() -> None:
    for met in (lambda story: story.use(0), lambda story: story.agree(TakeEffect)):
        story = Story()
        story.use(60)
        story.agree(SchedulePlan, plan="half", effective_at=story.at + timedelta(hours=1))
        assert story.raised == []
        story.at += timedelta(hours=1)
        met(story)
        assert story.raised == percent(80, 95, 100)


def test_a_scheduled_change_is_told_once_by_whoever_writes_it_down() -> None:
    story = Story()
    at = story.at + timedelta(hours=1)
    story.agree(SchedulePlan, plan="half", effective_at=at)
    story.at += timedelta(hours=2)
    story.agree(TakeEffect)
    story.agree(TakeEffect)
    story.change_plan("pro")
    story.change_plan("pro")
    changes = [event for event in story.store.events if event.type == "customer.plan_changed"]
    assert all(event.data.keys() == EXAMPLES[event.type].keys() for event in changes)
    told = [(event.data["previous_plan"], event.data["plan"], event.data["scheduled"], event.occurred_at) for event in changes]
    assert told == [("pro", "half", True, at), ("half", "pro", False, story.at)]


def test_a_change_that_meets_a_scheduled_one_tells_of_both() -> None:
    story = Story()
    at = story.at + timedelta(hours=1)
    story.agree(SchedulePlan, plan="half", effective_at=at)
    story.at += timedelta(hours=2)
    story.change_plan("pack")
    changes = [event for event in story.store.events if event.type == "customer.plan_changed"]
    assert [(event.data["previous_plan"], event.data["plan"]) for event in changes] == [("pro", "half"), ("half", "pack")]


def test_of_a_limit_of_nothing_the_first_usage_raises_all_and_no_usage_none() -> None:
    story = Story(limit=0)
    with pytest.raises(LimitExceeded):
        story.use(1, enforce=True)
    story.use(0)
    assert story.raised == []
    story.use(1)
    assert story.raised == [*percent(80, 95, 100), "overage"]


def test_of_an_unlimited_feature_only_what_was_used_is_a_level() -> None:
    story = Story(limit=None)
    story.use(1_000_000)
    assert story.raised == []
    story.own(("percent", 80), ("remaining", 5), ("used", 1_000_000), ("used", 1_000_001))
    assert story.raised == ["used:1000000"]


def test_each_period_raises_anew_whatever_its_length() -> None:
    story = Story(reset=Reset.HOUR)
    for _ in range(3):
        story.use(80)
        assert story.raised == percent(80)
        story.at += timedelta(hours=1)


def test_usage_that_lies_ahead_is_raised_by_whoever_first_meets_the_new_period() -> None:
    """A process whose clock is ahead booked it there."""
    story = Story(reset=Reset.HOUR)
    story.at = datetime(2026, 11, 2, 12, 58, tzinfo=UTC)
    story.use(90, at=datetime(2026, 11, 2, 13, 1, tzinfo=UTC))
    assert story.raised == []
    story.at = datetime(2026, 11, 2, 13, 2, tzinfo=UTC)
    story.use(0)
    assert story.raised == percent(80)


def test_a_clock_that_steps_back_raises_nothing_twice_in_either_period() -> None:
    story = Story(reset=Reset.HOUR)
    early, late = datetime(2026, 11, 2, 12, 59, tzinfo=UTC), datetime(2026, 11, 2, 13, 1, tzinfo=UTC)
    for at in (early, late, early, late):
        story.at = at
        story.use(39)
        assert story.raised == []
    for at, expected in ((early, percent(80)), (late, percent(80)), (early, []), (late, [])):
        story.at = at
        story.use(2)
        assert story.raised == expected


def test_late_records_of_a_closed_period_raise_nothing() -> None:
    story = Story()
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    story.use(200, at=datetime(2026, 11, 30, tzinfo=UTC))
    assert story.raised == []


def test_a_threshold_that_was_passed_long_ago_is_raised_when_it_is_put() -> None:
    story = Story()
    story.use(60)
    story.own(("percent", 50), ("percent", 70), ("remaining", 40), ("remaining", 39))
    assert story.raised == ["percent:50", "remaining:40"]
    story.own(("percent", 50))
    story.agree(EndAlerts, feature="sessions")
    assert story.raised == []
    story.use(20)
    assert story.raised == percent(80)


def test_no_thresholds_raise_nothing_and_a_plan_may_have_its_own() -> None:
    none, own = Story(alerts=()), Story(alerts=percentages(10, 150), enforcement=SOFT)
    none.use(100)
    own.use(149)
    assert (none.raised, own.raised) == ([], ["percent:10", "overage"])
    own.use(1)
    assert own.raised == percent(150)


def test_nothing_remaining_is_the_limit_as_100_percent_is() -> None:
    story = Story()
    story.own(("remaining", 0), ("remaining", 1), ("percent", 100), ("percent", 101))
    story.use(101)
    assert [event.type for event in story.events] == [
        "usage.threshold_reached", "usage.limit_reached", "usage.limit_reached", "usage.threshold_reached", "usage.overage_recorded",
    ]  # fmt: skip


def test_what_grants_add_counts_and_their_void_or_end_is_a_crossing() -> None:
    story = Story()
    grant = story.grant(100)
    ending = story.grant(100, expires_at=story.at + timedelta(days=1), priority=200)
    story.use(95)
    assert story.raised == []
    story.run(VoidGrant, VoidGrantCommand("acme", grant.id, "refund", "key 1"))
    assert story.raised == []
    story.at += timedelta(days=1)
    assert ending.ends_at == story.at
    story.use(0)
    assert story.raised == percent(80, 95)


def test_giving_back_to_a_grant_that_has_ended_raises_nothing_that_was_not_reached() -> None:
    story = Story(limit=10)
    story.grant(10, expires_at=story.at + timedelta(days=1), priority=1)
    used = story.use(7)
    story.at += timedelta(days=1)
    story.use(4)
    assert story.raised == []
    story.correct(used, -6)
    assert story.raised == []


def test_a_grant_that_is_used_up_is_told_once_and_what_rolled_over_is_not() -> None:
    story = Story(limit=10)
    grant = story.grant(5, reference="order 7")
    used = story.use(15)
    story.correct(used, -1)
    story.use(1)
    depleted = [event for event in story.store.events if event.type == "grant.depleted"]
    assert [(event.data["grant_id"], event.data["used"], event.data["unused"], event.data["reference"]) for event in depleted] == [
        (grant.id, 5, 0, "order 7")
    ]
    assert depleted[0].data.keys() == EXAMPLES["grant.depleted"].keys()


def test_overage_is_told_once_in_a_period_and_not_of_what_a_downgrade_lifts() -> None:
    story = Story(enforcement=SOFT, alerts=())
    story.use(60)
    story.change_plan("half")
    assert story.raised == []
    story.use(3)
    (event,) = story.events
    assert (event.type, event.data["overage"], event.data["used"]) == ("usage.overage_recorded", 3, 63)
    story.use(5)
    assert story.raised == []
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    story.use(51)
    assert story.raised == ["overage"]


@pytest.mark.parametrize(
    "thresholds",
    [[("percent", "0")], [("percent", "80.5")], [("percent", "1001")], [("used", "0")], [("remaining", "-1")], [("used", "1.5")],
     [("percent", "80"), ("percent", "80")], [("used", str(n)) for n in range(1, 22)]],
)  # fmt: skip
def test_thresholds_that_nobody_could_stand_at_are_refused(thresholds: list[tuple[str, str]]) -> None:
    story = Story()
    drafts = [ThresholdDraft(ThresholdType(kind), Decimal(value)) for kind, value in thresholds]
    with pytest.raises(InvalidThreshold):
        story.agree(PutAlerts, feature="sessions", thresholds=drafts)
    with pytest.raises(FeatureNotInPlan):
        story.agree(PutAlerts, feature="unheard_of", thresholds=[])
    story.store.customers.clear()
    with pytest.raises(CustomerNotFound):
        story.agree(PutAlerts, feature="sessions", thresholds=[])


def test_a_threshold_goes_by_its_name() -> None:

    for threshold in (*ALERTS_DEFAULT, Threshold(ThresholdType.USED, 4800), Threshold(ThresholdType.REMAINING, 0)):
        assert named(threshold.name) == threshold
