"""Commands for the comparison of the engine with its reference: what they are drawn from, and how their answers are told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from core.errors import DomainError
from core.metering.balance import Amount, Balance
from core.metering.consume_usage import Consumed
from core.metering.correct_record import Corrected
from core.metering.idempotency import Once, Replay
from core.metering.ledger import UsageRecord
from core.metering.reserve_usage import Reserved
from tests.integration.reference_model import Entry

BATCH_MAX = 3

FIRST = datetime(2027, 1, 25, tzinfo=UTC)


def often(*common: Any, **rare: Any) -> st.SearchStrategy[Any]:
    """Most of what is drawn can be carried out, or runs would be all refusals; the rare values are those that never can."""
    return st.sampled_from([*common * (1 + 20 * len(rare) // len(common)), *rare.values()])


starts = st.integers(0, 430 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes))  # two springs and an autumn
anchors = st.none() | st.builds(lambda start, days: start - timedelta(days), starts, st.integers(0, 400))
zones = st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "America/Havana"])
metered = ["calls"] * 5 + ["storage"] * 4 + ["messages"] * 3 + ["seats"] * 2 + ["tokens"] * 2 + ["exports", "extras"]
features = often(*metered, granted="team_size", switched="sign_on", undeclared="unheard_of")
quantities = often(
    *map(Decimal, ["1", "1", "2", "3", "4", "6", "9", "2.5", "7.125"]),
    zero=Decimal(0),
    negative=Decimal(-1),
    half=Decimal("0.5"),
    half_a_part=Decimal("0.0005"),
)
amount = st.builds(Amount, features, quantities, st.sampled_from([None, "eu"]))
amounts = st.lists(amount, min_size=1, max_size=3)
keys = st.none() | st.none() | st.integers(1, 12).map(lambda n: f"key {n}")
customers = often("acme", "globex", unknown="nobody")
SKEW, BACK, INSTANT = timedelta(minutes=5), timedelta(days=35), timedelta(microseconds=1)


class Edge(Enum):
    """Of the current period: its first instant, the last one before it, and the first one after it."""

    START, BEFORE, END = range(3)


Dated = timedelta | Edge | None
"""When usage occurred: so long after now, at an edge, or now."""

shorts = st.sampled_from([timedelta(0), INSTANT, SKEW - INSTANT])
skews = often(timedelta(0), SKEW, -SKEW, past=-SKEW - INSTANT, ahead=SKEW + INSTANT)
past = st.integers(-34 * 24, 0).map(lambda n: timedelta(hours=n))
times = st.none() | past | st.sampled_from(Edge) | often(-BACK, SKEW, old=-BACK - INSTANT, ahead=SKEW + INSTANT)
waits = st.one_of(
    st.integers(1, 400).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 72).map(lambda n: timedelta(hours=n)),
    st.integers(1, 40).map(lambda n: timedelta(days=n)),
)
ages = st.integers(0, 6)
is_rare = st.integers(0, 19).map(lambda n: n == 19)


def batches(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=BATCH_MAX)


def told(outcome: Any) -> Any:
    """An answer of the engine in the reference's words."""
    match outcome:
        case DomainError():
            return type(outcome).__name__, dict(outcome.facts())
        case Replay(reply):
            return "Replay", reply
        case Consumed(records, balances):
            return "Consumed", [told(record) for record in records], told(balances)
        case Corrected(record, balance):
            return "Corrected", told(record), told(balance)
        case Reserved(hold, balances):
            return "Reserved", hold.state.value, told(hold.usage), told(hold.actual), hold.late, told(balances)
        case UsageRecord():
            return outcome.feature, outcome.quantity, outcome.occurred_at, outcome.overage, outcome.dimension
        case Balance(_, limit, _, period, used, held):
            return used, held, limit, outcome.remaining, outcome.overage, period.start, period.end
        case Mapping():
            return {feature: told(outcome[feature]) for feature in sorted(outcome)}
    return outcome


def written_once(key: str | None, *asked: object) -> Once | None:
    return Once(key, repr(asked).encode(), lambda result: repr(told(result)).encode()) if key else None


def records_of(outcome: Any) -> Sequence[UsageRecord]:
    match outcome:
        case Consumed(records):
            return records
        case Corrected(record):
            return [record]
    return ()


def corrected_totals(records: Iterable[UsageRecord]) -> Iterable[int]:
    """What each record amounts to with its corrections. Periods are sums of such totals, whatever their bounds."""
    totals: dict[UUID, int] = {}
    for record in records:
        totals[record.corrects or record.id] = totals.get(record.corrects or record.id, 0) + record.quantity
    return totals.values()


def written(record: UsageRecord) -> tuple[Any, ...]:
    return told(record), record.recorded_at, record.origin, record.corrects, record.reason, record.event_id


def expected(entry: Entry) -> tuple[Any, ...]:
    return entry.told(), entry.recorded_at, entry.origin, entry.corrects and entry.corrects.id, entry.reason, entry.event_id
