import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from core.errors import Overloaded, StorageUnavailable
from core.metering.ledger import Breakdown, LedgerQuery, Share, UsageRecord
from core.metering.ports import LedgerReader
from core.plans.periods import Period
from infrastructure.batching.shared_breakdowns import SharedBreakdowns

NOW = datetime(2026, 11, 27, tzinfo=UTC)
NOVEMBER = {"calls": Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))}
OCTOBER = {"calls": Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))}


class SlowReader(LedgerReader):
    """Answers when it is let, with the number of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most = self.now = 0
        self.go_on = asyncio.Event()
        self.fails = False

    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        raise NotImplementedError

    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Mapping[str, Breakdown]:
        self.asked.append(customer_id)
        number = len(self.asked)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go_on.wait()
        self.now -= 1
        if self.fails:
            raise StorageUnavailable
        return {"calls": Breakdown([Share(customer_id, number)])}


@pytest.fixture
def reader() -> SlowReader:
    return SlowReader()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_than_a_few_are_read_at_once(reader: SlowReader) -> None:
    shared = SharedBreakdowns(reader, at_once_max=4)
    asking = [asyncio.create_task(shared.breakdown(f"customer {number}", NOVEMBER, NOW)) for number in range(16)]
    await turns()
    assert reader.most == 4
    reader.go_on.set()

    answers = await asyncio.gather(*asking)

    assert [answer["calls"].shares[0].dimension for answer in answers] == [f"customer {number}" for number in range(16)]
    assert reader.most == 4


async def test_whoever_asks_for_the_same_before_its_turn_shares_it_and_whoever_asks_later_gets_a_newer_one(reader: SlowReader) -> None:
    shared = SharedBreakdowns(reader, at_once_max=1)
    first = asyncio.create_task(shared.breakdown("acme", NOVEMBER, NOW))
    await turns()
    later = [asyncio.create_task(shared.breakdown("acme", NOVEMBER, NOW)) for _ in range(15)]
    other = asyncio.create_task(shared.breakdown("acme", OCTOBER, NOW))
    await turns()
    reader.go_on.set()

    numbers = [answer["calls"].shares[0].quantity for answer in await asyncio.gather(first, *later, other)]

    assert numbers == [1, *[2] * 15, 3]


async def test_one_that_does_not_get_its_turn_in_time_is_refused_and_the_next_one_is_not(reader: SlowReader) -> None:
    shared = SharedBreakdowns(reader, at_once_max=1, wait_seconds_max=0.05)
    first = asyncio.create_task(shared.breakdown("acme", NOVEMBER, NOW))
    await turns()
    with pytest.raises(Overloaded):
        await shared.breakdown("other", NOVEMBER, NOW)
    reader.go_on.set()
    await first

    assert (await shared.breakdown("other", NOVEMBER, NOW))["calls"].shares == [Share("other", 2)]


async def test_a_caller_that_goes_away_takes_nobodys_answer_with_it(reader: SlowReader) -> None:
    shared = SharedBreakdowns(reader, at_once_max=1)
    first = asyncio.create_task(shared.breakdown("other", NOVEMBER, NOW))
    await turns()
    gone, stays = (asyncio.create_task(shared.breakdown("acme", NOVEMBER, NOW)) for _ in range(2))
    await turns()
    gone.cancel()
    reader.go_on.set()

    assert (await stays)["calls"].shares == [Share("acme", 2)]
    await first


async def test_a_failure_is_everybodys_and_frees_the_place(reader: SlowReader) -> None:
    shared = SharedBreakdowns(reader, at_once_max=1)
    reader.fails = True
    reader.go_on.set()
    with pytest.raises(StorageUnavailable):
        await shared.breakdown("acme", NOVEMBER, NOW)
    reader.fails = False

    assert (await shared.breakdown("acme", NOVEMBER, NOW))["calls"].shares == [Share("acme", 2)]
