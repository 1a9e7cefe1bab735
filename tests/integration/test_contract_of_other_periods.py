"""Periods other than the current one, and what was booked for a thing: the same on PostgreSQL and on the fake that unit tests trust."""

import asyncio
from datetime import datetime, timedelta

import pytest

from core.metering.counters import PeriodNotLoaded
from core.metering.ledger import Cause, CorrectedRecord, Origin
from core.metering.meters import Meter
from core.plans.periods import Period
from infrastructure.sql.engine.accounts import WRITTEN_AHEAD
from tests.integration.units_of_work import ACME, GLOBEX, INSTANT, NOVEMBER, NOW, ORIGIN, PLAN, Storage, book, locked, standing

OCTOBER = Period(NOVEMBER.start - timedelta(days=31), NOVEMBER.start)
SESSIONS = Meter("acme", "sessions")
ORDER_7 = Cause("acme", "sessions", "test", "order 7")


@pytest.fixture
async def storage(storage: Storage) -> Storage:
    await storage.publish(PLAN)
    await storage.put(ACME)
    await storage.put(GLOBEX)
    return storage


async def used_at(storage: Storage, *instants: datetime) -> list[int]:
    async with storage.open() as uow:
        account = await locked(uow)
        await uow.accounts.load_periods((SESSIONS, at) for at in instants)
        return [account.balance_at("sessions", at).used for at in instants]


# What was used in other periods.


async def test_another_periods_usage_is_the_ledgers_sum_between_its_bounds(storage: Storage) -> None:
    await book(storage, 1, at=OCTOBER.start)
    await book(storage, 2, occurred_at=OCTOBER.end - INSTANT)
    await book(storage, 4, occurred_at=OCTOBER.end)
    await book(storage, 8, at=OCTOBER.start, occurred_at=OCTOBER.start - INSTANT)
    await book(storage, 16, customer="globex", at=OCTOBER.start)
    assert await used_at(storage, OCTOBER.start, NOW, OCTOBER.start - INSTANT, NOVEMBER.end) == [3, 4, 8, 0]


async def test_a_period_that_nobody_asked_for_is_not_known(storage: Storage) -> None:
    async with storage.open() as uow:
        account = await locked(uow)
        with pytest.raises(PeriodNotLoaded):
            account.record("sessions", 1, ORIGIN, occurred_at=OCTOBER.end - INSTANT)
        assert account.records == []


async def test_asking_again_does_not_forget_what_was_booked_since(storage: Storage) -> None:
    async with storage.open() as uow:
        account = await locked(uow)
        await uow.accounts.load_periods([(SESSIONS, OCTOBER.start)])
        account.record("sessions", 9, ORIGIN, occurred_at=OCTOBER.end - INSTANT)
        await uow.accounts.load_periods([(SESSIONS, OCTOBER.start), (SESSIONS, OCTOBER.end - INSTANT)])
        assert account.record("sessions", 3, ORIGIN, occurred_at=OCTOBER.end - INSTANT).overage == 2


async def test_of_customers_and_features_that_are_not_counted_nothing_is_asked(storage: Storage) -> None:
    async with storage.open() as uow:
        await locked(uow)
        await uow.accounts.load_periods([(Meter("nobody", "sessions"), OCTOBER.start), (Meter("acme", "file_mb"), OCTOBER.start)])


async def test_a_period_is_read_under_the_lock_so_that_two_who_book_into_it_see_each_other(storage: Storage) -> None:
    overages = []

    async def late(quantity: int) -> None:
        overages.append((await book(storage, quantity, occurred_at=OCTOBER.end - INSTANT)).overage)

    await asyncio.wait_for(asyncio.gather(*(late(3) for _ in range(5))), 30)
    assert sorted(overages) == [0, 0, 0, 2, 3]


async def test_a_period_that_is_read_in_the_middle_of_a_long_list_counts_what_was_written_ahead_of_it_once(storage: Storage) -> None:
    """The connection is busy with what was decided before, and must be waited for."""
    async with storage.open() as uow:
        account = await locked(uow)
        await uow.accounts.load_periods([(SESSIONS, OCTOBER.start)])
        for _ in range(WRITTEN_AHEAD):
            account.record("sessions", 1, ORIGIN, occurred_at=OCTOBER.end - INSTANT)
            if (pause := uow.decided()) is not None:
                await pause
        await uow.accounts.load_periods([(SESSIONS, OCTOBER.start), (SESSIONS, OCTOBER.start - INSTANT)])
        assert [account.balance_at("sessions", at).used for at in (OCTOBER.start, OCTOBER.start - INSTANT)] == [WRITTEN_AHEAD, 0]
        await uow.commit()
    assert await used_at(storage, OCTOBER.start) == [WRITTEN_AHEAD]


# What was booked for a thing, and what is left of it.


async def test_records_are_found_by_what_they_were_booked_for_with_what_is_left_of_them(storage: Storage) -> None:
    first, second = await book(storage, 5), await book(storage, 3, occurred_at=OCTOBER.end - INSTANT)
    await book(storage, 1, customer="globex")
    async with storage.open() as uow:
        account = await locked(uow)
        account.correct(CorrectedRecord(first, 5), -2, "refund", Origin("correction", "key 1", "order 7"))
        account.correct(CorrectedRecord(first, 3), -1, "merged", ORIGIN)
        account.record("sessions", 7, Origin("other", "key 1", "order 7"))
        account.record("sessions", 7, Origin("test", "key 1", "order 8"))
        account.record("sessions", 7, Origin("test", "key 1"))
        await uow.commit()
    async with storage.open() as uow:
        nothing = [ORDER_7._replace(reference="order 9"), ORDER_7._replace(feature="ai_runs"), ORDER_7._replace(source="correction")]
        await uow.records.load_of([ORDER_7, *nothing, ORDER_7])
        assert [(known.record, known.total) for known in uow.records.of(ORDER_7)] == [(first, 2), (second, 3)]
        assert [list(uow.records.of(cause)) for cause in nothing] == [[], [], []]


async def test_what_is_given_back_is_known_to_whoever_asks_next_and_stands_after_the_commit(storage: Storage) -> None:
    await book(storage, 5)
    async with storage.open() as uow:
        account = await locked(uow)
        await uow.records.load_of([ORDER_7])
        (known,) = uow.records.of(ORDER_7)
        assert account.give_back(known, 3, "failed", ORIGIN) == 3
        mark = uow.journal.mark()
        (known,) = uow.records.of(ORDER_7)
        assert account.give_back(known, 1, "failed", ORIGIN) == 1
        uow.journal.undo(mark)
        (known,) = uow.records.of(ORDER_7)
        assert account.give_back(known, 3, "failed", ORIGIN) == 2
        await uow.commit()
    async with storage.open() as uow:
        await uow.records.load_of([ORDER_7])
        assert [known.total for known in uow.records.of(ORDER_7)] == [0]
    assert await standing(storage) == (0, 0)


async def test_a_record_of_the_same_unit_of_work_is_found_once_it_is_saved(storage: Storage) -> None:
    before = await book(storage, 5)
    async with storage.open() as uow:
        account = await locked(uow)
        booked = account.record("sessions", 2, ORIGIN)
        uow.records.save(CorrectedRecord(booked, 2))
        await uow.records.load_of([ORDER_7])
        assert [known.record for known in uow.records.of(ORDER_7)] == [before, booked]
