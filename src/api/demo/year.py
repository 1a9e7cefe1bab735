"""A year of believable usage of a dozen customers, booked by the engine itself under a clock that runs through it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import pi, sin
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from api.container import Container
from core.customers.override_limit import OverrideLimitCommand
from core.customers.put_addon import PutAddonCommand
from core.customers.put_customer import CustomerChanges, PutCustomerCommand
from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, LimitExceeded
from core.metering.consume_usage import Consumed, ConsumeUsageCommand, Mode
from core.metering.correct_record import CorrectRecordCommand
from core.metering.grants import GrantKind
from core.metering.idempotency import Replay
from core.metering.issue_grant import IssueGrantCommand
from core.metering.ledger import Origin, UsageRecord
from core.metering.use_case import execute_one

SEED: Final = 20_260_101
DAYS: Final = 366
BY: Final = "demo"
_ORIGIN: Final = "demo"
_HOURS: Final = (9, 13, 18)
"""When in each day's time of the customer something is asked for."""
_AT_ONCE: Final = 400

Told = Callable[[int, int], None]
"""Is told how many days of how many are done."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How one feature is used: so many times a working day, each time so much, of these kinds.

    `weekend`: how busy a weekend's day is beside a working day. `growth`: how many times as busy the year ends as it began.
    """

    feature: str
    times: float
    least: Decimal
    most: Decimal
    kinds: Sequence[str | None] = (None,)
    weekend: float = 0.25
    growth: float = 1.0
    mode: Mode = Mode.ENFORCE
    step: Decimal = Decimal(1)

    def quantity(self, random: Random) -> Decimal:
        """How much one use is, a whole number of steps."""
        return Decimal(random.randint(int(self.least / self.step), int(self.most / self.step))) * self.step


@dataclass(frozen=True, slots=True)
class Character:
    """A customer: its first plan, where it is at home, how it uses what it has, and what it buys."""

    id: str
    plan: str
    habits: Sequence[Habit]
    zone: str = "UTC"
    moves: Mapping[int, str] = field(default_factory=dict)
    """By day of the year, the plan that it goes over to."""
    topup: tuple[str, int] | None = None
    """The feature of which it buys so much whenever it is refused for the first time in a month."""


_ONE: Final = Decimal(1)
_MODELS: Final = ("small", "large", "vision")
CHARACTERS: Final = (
    Character(
        "northwind-coaching",
        "pro",
        (
            Habit("sessions", 2.4, _ONE, _ONE, ("google", "assemblyai"), growth=1.5),
            Habit("minutes", 2.4, Decimal(4), Decimal(14), ("en-US", "de-DE"), mode=Mode.RECORD, growth=1.4, step=Decimal("0.25")),
        ),
        "Europe/Vienna",
    ),
    Character(
        "bluebird-studio",
        "free",
        (
            Habit("sessions", 1.6, _ONE, _ONE, ("whisper",), growth=3.0),
            Habit("minutes", 1.6, Decimal(5), Decimal(12), ("en-US",), mode=Mode.RECORD, growth=3.0, step=Decimal("0.5")),
        ),
        "America/New_York",
        moves={150: "pro"},
    ),
    Character(
        "hillside-academy",
        "fluency_builder",
        (
            Habit("practice_sessions", 1.3, _ONE, _ONE, ("travel", "business", "daily life"), weekend=0.7),
            Habit("assessments", 0.08, _ONE, _ONE, ("writing", "speaking")),
        ),
        "Europe/Berlin",
        topup=("practice_sessions", 10),
    ),
    Character("fresh-start", "try_learn", (Habit("practice_sessions", 0.5, _ONE, _ONE, ("travel",)),), "Europe/Madrid"),
    Character(
        "oak-ai",
        "premium",
        (
            Habit("ai_runs", 1.5, _ONE, _ONE, ("card scan", "summary"), growth=1.2),
            Habit("ai_cost", 1.6, Decimal("0.01"), Decimal("0.2"), _MODELS, mode=Mode.RECORD, growth=1.3, step=Decimal("0.0005")),
        ),
        "America/Los_Angeles",
        topup=("ai_runs", 15),
    ),
    Character(
        "pixel-lab",
        "basic",
        (
            Habit("ai_runs", 0.5, _ONE, _ONE, ("card scan",), growth=4.0),
            Habit("ai_cost", 0.5, Decimal("0.005"), Decimal("0.05"), _MODELS, mode=Mode.RECORD, growth=4.0, step=Decimal("0.0005")),
        ),
        "Asia/Kolkata",
        moves={210: "premium"},
    ),
    Character(
        "harbor-chat", "starter", (Habit("conversations", 30, _ONE, Decimal(2), ("queued", "direct"), growth=1.6),), "Australia/Sydney"
    ),
    Character("market-chat", "starter", (Habit("conversations", 45, _ONE, Decimal(2), ("queued", "direct"), growth=1.9),), "Europe/London"),
    Character("acme-api", "example", (Habit("api_calls", 18, Decimal(5), Decimal(60), ("search", "export", "sync")),), "UTC"),
    Character("zebra-api", "example", (Habit("api_calls", 20, Decimal(20), Decimal(120), ("search", "sync"), weekend=0.6),), "Asia/Tokyo"),
    Character("wide-open", "pro", (Habit("sessions", 3, _ONE, _ONE, ("auto",), weekend=1.0),), "Europe/Paris"),
    Character("quiet-company", "free", ()),
)


class Year:
    """Plays the year. Its container takes the time from `clock`; the plans of plans.yaml have to be there."""

    def __init__(self, container: Container, now: datetime, *, seed: int = SEED, days: int = DAYS) -> None:
        self._container = container
        self._random = Random(seed)
        self._end = now
        self._days = days
        self._begin = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        self.now = self._begin
        self._refused: set[tuple[str, int]] = set()
        self._latest: dict[str, UsageRecord] = {}

    async def is_there(self) -> bool:
        """Whether it was played on this database before."""
        try:
            await self._container.customer_reader().get(CHARACTERS[0].id)
        except CustomerNotFound:
            return False
        return True

    async def play(self, told: Told) -> int:
        """From the first day to the last. Returns how many records were booked."""
        booked = 0
        await self._begin_all()
        for day in range(self._days + 1):
            for at, asked in self._asked(day):
                if at > self._end:
                    break
                self.now = at
                booked += await self._book(asked)
            await self._turn(day)
            told(day, self._days)
        self.now = self._end
        return booked

    async def _begin_all(self) -> None:
        for character in CHARACTERS:
            changes: CustomerChanges = {"billing_anchor": self._begin, "time_zone": character.zone}
            command = PutCustomerCommand(customer_id=character.id, plan=character.plan, changes=changes, changed_by=BY)
            await self._container.put_customer().execute(command)
        override = self._container.override_limit()
        await override.execute(
            OverrideLimitCommand(customer_id="wide-open", feature="sessions", limit=None, reason="founding customer", changed_by=BY)
        )
        await override.execute(
            OverrideLimitCommand(customer_id="zebra-api", feature="api_calls", limit=Decimal(2500), reason="agreed by sales", changed_by=BY)
        )

    def _asked(self, day: int) -> Iterator[tuple[datetime, list[ConsumeUsageCommand]]]:
        """What is asked for on one day, moment by moment."""
        date = self._begin.date() + timedelta(days=day)
        by_moment: dict[datetime, list[ConsumeUsageCommand]] = {}
        for character in CHARACTERS:
            zone = ZoneInfo(character.zone)
            for habit in character.habits:
                for hour in _HOURS:
                    at = datetime(date.year, date.month, date.day, hour, self._random.randrange(60), tzinfo=zone).astimezone(UTC)
                    commands = [self._use(character, habit, at) for _ in range(self._count(habit, day, date.weekday()))]
                    if commands and at > self.now:
                        by_moment.setdefault(at, []).extend(commands)
        yield from sorted(by_moment.items())

    def _count(self, habit: Habit, day: int, weekday: int) -> int:
        busy = habit.times / len(_HOURS) * (habit.weekend if weekday >= 5 else 1)
        busy *= 1 + (habit.growth - 1) * day / self._days
        busy *= 1 + 0.15 * sin(2 * pi * day / 90)
        whole, rest = divmod(busy * self._random.uniform(0.6, 1.4), 1)
        return int(whole) + (self._random.random() < rest)

    def _use(self, character: Character, habit: Habit, at: datetime) -> ConsumeUsageCommand:
        amount = Amount(habit.feature, habit.quantity(self._random), self._random.choice(habit.kinds))
        reference = f"{habit.feature}-{self._random.randrange(16**8):08x}"
        # A few are reported hours, and some days, after they happened.
        late = None
        if habit.mode is Mode.RECORD and self._random.random() < 0.05:
            late = at - timedelta(hours=self._random.choice((1, 3, 30, 70)))
            late = max(late, self._begin)
        return ConsumeUsageCommand(character.id, [amount], Origin(_ORIGIN, f"key:{BY}", reference), habit.mode, late)

    async def _book(self, commands: Sequence[ConsumeUsageCommand]) -> int:
        booked = 0
        for start in range(0, len(commands), _AT_ONCE):
            some = commands[start : start + _AT_ONCE]
            outcomes = await asyncio.gather(
                *(execute_one(self._container.consume_usage(), command) for command in some), return_exceptions=True
            )
            for command, outcome in zip(some, outcomes, strict=True):
                booked += await self._note(command, outcome)
        return booked

    async def _note(self, command: ConsumeUsageCommand, outcome: Consumed | Replay | BaseException) -> int:
        match outcome:
            case Consumed(records):
                self._latest[command.customer_id] = records[-1]
                return len(records)
            case LimitExceeded():
                await self._refuse(command)
                return 0
            case BaseException():
                raise outcome
        return 0

    async def _refuse(self, command: ConsumeUsageCommand) -> None:
        """Some buy a top-up when they are first refused in a month."""
        character = next(known for known in CHARACTERS if known.id == command.customer_id)
        month = self.now.year * 12 + self.now.month
        if character.topup is None or (character.id, month) in self._refused:
            return
        self._refused.add((character.id, month))
        feature, quantity = character.topup
        grant = IssueGrantCommand(
            customer_id=character.id,
            feature=feature,
            quantity=Decimal(quantity),
            kind=GrantKind.PAID,
            expires_at=self.now + timedelta(days=90),
            reference=f"order-{month}",
            reason="top-up",
            created_by=BY,
        )
        await execute_one(self._container.issue_grant(), grant)

    async def _turn(self, day: int) -> None:
        """What happens at a day's end besides usage."""
        for character in CHARACTERS:
            plan = character.moves.get(day)
            if plan is not None:
                await self._container.change_customer().execute(character.id, {"plan": plan}, BY)
        if day == 240:
            await self._container.put_addon().execute(PutAddonCommand(customer_id="market-chat", plan="starter", quantity=1, changed_by=BY))
        if day == 120:
            gift = IssueGrantCommand(
                customer_id="northwind-coaching",
                feature="minutes",
                quantity=Decimal(60),
                kind=GrantKind.PROMOTIONAL,
                expires_at=self.now + timedelta(days=300),
                reference="anniversary",
                reason="a year with us",
                created_by=BY,
            )
            await execute_one(self._container.issue_grant(), gift)
        if day % 23 == 11:
            await self._correct()

    async def _correct(self) -> None:
        """One record turns out to have been a mistake."""
        record = self._latest[self._random.choice(sorted(self._latest))]
        feature = (await self._container.plan_reader().features()).get(record.feature)
        assert feature is not None, "something of it was booked"
        command = CorrectRecordCommand(record.customer_id, record.id, -feature.units(record.quantity), "refund", BY)
        await execute_one(self._container.correct_record(), command)
        self._latest.pop(record.customer_id)
