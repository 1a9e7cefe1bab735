"""What a unit of work promises, kept by PostgreSQL and by the fake that the unit tests trust."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest

from core.errors import ConcurrentUpdate
from core.events.event import Event
from core.metering.idempotency import ReplyKey, StoredReply
from core.metering.ledger import CorrectedRecord, EventKey, RecordKey, UsageRecord
from core.metering.meters import Meter
from core.metering.repository import Repository
from core.metering.reservations import ReservationKey, ReservationState
from infrastructure.sql.engine.accounts import WRITTEN_AHEAD
from tests.integration.units_of_work import (
    ACME,
    GLOBEX,
    INSTANT,
    NOVEMBER,
    NOW,
    ORIGIN,
    PLAN,
    Storage,
    book,
    hold,
    locked,
    reservation,
    standing,
)

K = TypeVar("K")
V = TypeVar("V")


async def found(repository: Repository[K, V], *keys: K) -> list[V]:
    """Those that exist, once they are loaded, in the order of the keys."""
    await repository.load(keys)
    return [value for key in keys if (value := repository.get(key)) is not None]


def record_key(record: UsageRecord) -> RecordKey:
    return RecordKey(record.customer_id, record.id)


@pytest.fixture
async def storage(storage: Storage) -> Storage:
    await storage.publish(PLAN)
    await storage.put(ACME)
    await storage.put(GLOBEX)
    return storage


# Visibility: all at the commit, or nothing.


async def test_nothing_is_seen_before_the_commit_and_all_of_it_after(storage: Storage) -> None:
    held, reply = reservation(), StoredReply("acme", "k", b"asked", b"answered", NOW)
    async with storage.open() as uow:
        account = await locked(uow)
        record = account.consume("sessions", 1, ORIGIN)
        account.reserve(held)
        uow.replies.save(reply)
        async with storage.open() as other:
            assert await found(other.records, record_key(record)) == []
            assert await found(other.reservations, ReservationKey("acme", held.id)) == []
            assert await found(other.replies, ReplyKey("acme", "k")) == []
        await uow.commit()
    async with storage.open() as other:
        assert [item.record for item in await found(other.records, record_key(record))] == [record]
        assert await found(other.reservations, ReservationKey("acme", held.id)) == [held]
        assert await found(other.replies, ReplyKey("acme", "k")) == [reply]
    assert await standing(storage) == (1, 4)


@pytest.mark.parametrize("failure", [None, ValueError("a mistake"), asyncio.CancelledError()])
async def test_what_is_not_committed_never_was(storage: Storage, failure: BaseException | None) -> None:
    held = reservation()
    with suppress(ValueError, asyncio.CancelledError):
        async with storage.open() as uow:
            account = await locked(uow)
            record = account.consume("sessions", 1, ORIGIN)
            account.reserve(held)
            uow.replies.save(StoredReply("acme", "k", b"asked", b"answered", NOW))
            if failure is not None:
                raise failure
    async with storage.open() as uow:
        assert await found(uow.records, record_key(record)) == []
        assert await found(uow.reservations, ReservationKey("acme", held.id)) == []
        assert await found(uow.replies, ReplyKey("acme", "k")) == []
    assert await standing(storage) == (0, 0)


@pytest.mark.parametrize("committed", [True, False])
async def test_what_is_written_ahead_is_part_of_the_transaction(storage: Storage, committed: bool) -> None:
    async with storage.open() as uow:
        account = await locked(uow, feature="ai_runs")
        records = []
        for _ in range(2 * WRITTEN_AHEAD + 1):
            records.append(account.consume("ai_runs", 1, ORIGIN))
            mark = uow.journal.mark()
            account.consume("ai_runs", 1, ORIGIN)
            uow.journal.undo(mark)
            if (pause := uow.decided()) is not None:
                await pause
        async with storage.open() as other:
            assert await found(other.records, *map(record_key, records)) == []
        if committed:
            await uow.commit()
    assert await standing(storage, "ai_runs") == (len(records) if committed else 0, 0)
    async with storage.open() as uow:
        assert len(await found(uow.records, *map(record_key, records))) == (len(records) if committed else 0)


# The outbox: an event is written with what made it true, or not at all.


def event(id: int, **more: Any) -> Event:
    return Event(**{"id": UUID(int=id), "type": "grant.created", "customer_id": "acme", "occurred_at": NOW, "data": {"used": 1}} | more)


async def test_an_event_is_written_by_the_commit_as_it_was_added(storage: Storage) -> None:
    async with storage.open() as uow:
        uow.outbox.add(event(1))
        uow.outbox.add(event(2, customer_id=None, once="x", data={"used": 0.5, "name": "e\u0301 \U0001f600", "more": [None, {"a": True}]}))
        assert await storage.told() == []
        await uow.commit()
    assert await storage.told() == list(uow.outbox.added)


async def test_an_event_of_what_is_not_committed_or_is_refused_is_never_told(storage: Storage) -> None:
    async with storage.open() as uow:
        uow.outbox.add(event(1))
    async with storage.open() as uow:
        mark = uow.journal.mark()
        uow.outbox.add(event(2))
        uow.journal.undo(mark)
        await uow.commit()
    assert await storage.told() == []


async def test_what_is_told_once_is_told_once_for_each_customer_however_often_it_is_added(storage: Storage) -> None:
    for ids in ((1, 2), (3,)):
        async with storage.open() as uow:
            for id in ids:
                uow.outbox.add(event(id, once="grant.depleted:1"))
                uow.outbox.add(event(id + 10, once="grant.depleted:1", customer_id="globex"))
                uow.outbox.add(event(id + 20))
            await uow.commit()
    assert [told.id.int for told in await storage.told()] == [1, 11, 21, 22, 23]


# Accounts: who there is, what is locked, and what the counters show.


async def test_an_unknown_customer_is_absent_and_the_others_are_there(storage: Storage) -> None:
    async with storage.open() as uow:
        accounts = await uow.accounts.lock(
            {"nobody": [Meter("nobody", "sessions")], "acme": [Meter("acme", "sessions")], "globex": []}, NOW
        )
    assert accounts.keys() == {"acme", "globex"}
    assert accounts["acme"].billing == ACME.billing
    assert accounts["acme"].plan == PLAN


async def test_only_declared_features_are_counted(storage: Storage) -> None:
    async with storage.open() as uow:
        account = (await uow.accounts.lock({"acme": [Meter("acme", key) for key in ("sessions", "unheard_of", "conversations")]}, NOW))[
            "acme"
        ]
    assert [account.knows(feature) for feature in ("sessions", "unheard_of", "conversations")] == [True, False, True]
    assert account.balance("conversations").limit == 0


async def test_a_lock_waits_for_the_one_before_it_and_sees_what_that_booked(storage: Storage) -> None:
    async with storage.open() as first:
        (await locked(first)).consume("sessions", 3, ORIGIN)
        second = asyncio.create_task(standing(storage))
        await asyncio.sleep(0.1)
        assert not second.done()
        assert await asyncio.wait_for(standing(storage, "ai_runs"), 30) == (0, 0)
        assert await asyncio.wait_for(standing(storage, customer="globex"), 30) == (0, 0)
        await first.commit()
    assert await second == (3, 0)


async def test_locks_in_any_order_never_wait_in_a_circle(storage: Storage) -> None:
    async def work(features: list[str], customers: list[str]) -> None:
        for _ in range(10):
            async with storage.open() as uow:
                accounts = await uow.accounts.lock({id: [Meter(id, feature) for feature in features] for id in customers}, NOW)
                for account in accounts.values():
                    account.record("sessions", 1, ORIGIN)
                await asyncio.sleep(0)
                await uow.commit()

    orders = [(["sessions", "ai_runs"], ["acme", "globex"]), (["ai_runs", "sessions"], ["globex", "acme"])] * 3
    await asyncio.wait_for(asyncio.gather(*(work(*order) for order in orders)), 30)
    assert (await standing(storage), await standing(storage, customer="globex")) == ((60, 0), (60, 0))


async def test_a_counter_sums_its_period_and_no_other(storage: Storage) -> None:
    await book(storage, 3)
    await book(storage, 20, occurred_at=NOVEMBER.start - INSTANT)
    await book(storage, 4, occurred_at=NOVEMBER.start)
    assert await standing(storage) == (7, 0)
    assert await standing(storage, at=NOVEMBER.end - INSTANT) == (7, 0)
    assert await standing(storage, at=NOVEMBER.end) == (0, 0)
    assert await standing(storage, at=NOVEMBER.start - INSTANT) == (20, 0)


async def test_a_counter_with_other_bounds_is_rebuilt_from_the_ledger(storage: Storage) -> None:
    await book(storage, 3, at=NOW - timedelta(days=10))
    await book(storage, 4)
    await storage.put(replace(ACME, billing=ACME.billing._replace(anchor=NOW - timedelta(days=1))))
    assert await standing(storage) == (4, 0)
    await book(storage, 1)
    await storage.put(replace(ACME, billing=ACME.billing._replace(anchor=None)))
    assert await standing(storage) == (8, 0)
    await storage.put(ACME)
    assert await standing(storage) == (8, 0)


async def test_a_rebuilt_counter_is_kept_where_nothing_is_booked(storage: Storage) -> None:
    await book(storage, 3, at=NOVEMBER.start - timedelta(days=1))
    async with storage.open() as uow:
        await locked(uow)
        await uow.commit()
    await storage.tamper(used=5)
    assert await standing(storage) == (5, 0)


async def test_a_counter_of_the_right_bounds_is_believed_until_it_is_forgotten(storage: Storage) -> None:
    await book(storage, 3)
    await storage.tamper(used=5)
    assert await standing(storage) == (5, 0)
    async with storage.open() as uow:
        await uow.accounts.forget({"acme": [Meter("acme", "sessions")]})
        assert (await locked(uow)).balance("sessions").used == 3
    assert await standing(storage) == (5, 0)
    async with storage.open() as uow:
        await uow.accounts.forget({"acme": [Meter("acme", "sessions")]})
        await locked(uow)
        await uow.commit()
    assert await standing(storage) == (3, 0)


# Holds and reservations.


async def test_a_hold_ends_by_itself_at_the_instant_of_its_expiry(storage: Storage) -> None:
    held = reservation(4, expires_at=NOW + timedelta(seconds=1))
    await hold(storage, held)
    assert await standing(storage, at=held.expires_at - INSTANT) == (0, 4)
    assert await standing(storage, at=held.expires_at) == (0, 0)


async def test_holds_add_up_and_end_one_by_one(storage: Storage) -> None:
    holds = [reservation(2), reservation(3), reservation(4)]
    for held in holds:
        await hold(storage, held)
    async with storage.open() as uow:
        account = await locked(uow)
        account.settle(holds[0], holds[0].released(NOW))
        account.settle(holds[1], holds[1].committed({"sessions": 1}, NOW))
        account.settle(holds[2], holds[2].drawn("sessions", 3))
        await uow.commit()
    assert await standing(storage) == (0, 1)


async def test_reservations_are_found_as_they_were_last_and_by_their_owner_only(storage: Storage) -> None:
    held, other = reservation(), reservation()
    await hold(storage, held)
    await hold(storage, other)
    committed = held.committed({"sessions": 7, "ai_runs": 1}, held.expires_at)
    async with storage.open() as uow:
        (await locked(uow)).settle(held, committed)
        await uow.commit()
    async with storage.open() as uow:
        wanted = [("acme", held.id), ("acme", other.id), ("globex", held.id), ("acme", UUID(int=1))]
        assert await found(uow.reservations, *(ReservationKey(*key) for key in wanted)) == [committed, other]
        assert await found(uow.reservations, ReservationKey("globex", held.id)) == []
    assert (committed.state, committed.late) == (ReservationState.COMMITTED, True)


# Replies and events: once.


async def test_replies_belong_to_their_customers(storage: Storage) -> None:
    acmes, globexs = StoredReply("acme", "k", b"a", b"1", NOW), StoredReply("globex", "k", b"b", b"2", NOW)
    async with storage.open() as uow:
        uow.replies.save(acmes)
        uow.replies.save(globexs)
        await uow.commit()
    async with storage.open() as uow:
        wanted = [("acme", "k"), ("globex", "k"), ("acme", "l"), ("acme", "k")]
        assert await found(uow.replies, *(ReplyKey(*key) for key in wanted)) == [acmes, globexs, acmes]


async def test_of_two_who_take_the_same_key_one_has_to_run_again_and_books_nothing(storage: Storage) -> None:
    async def race() -> None:
        async with storage.open() as first, storage.open() as second:
            first.replies.save(StoredReply("acme", "k", b"asked", b"first", NOW))
            (await locked(second)).consume("sessions", 1, ORIGIN)
            second.replies.save(StoredReply("acme", "k", b"asked", b"second", NOW))
            await first.commit()
            await second.commit()

    with pytest.raises(ConcurrentUpdate):
        await race()
    assert await standing(storage) == (0, 0)
    async with storage.open() as uow:
        assert [reply.reply for reply in await found(uow.replies, ReplyKey("acme", "k"))] == [b"first"]


async def test_of_two_who_book_the_same_event_one_has_to_run_again_and_books_nothing(storage: Storage) -> None:
    async def race() -> None:
        async with storage.open() as first, storage.open() as second:
            (await locked(first)).record("sessions", 1, ORIGIN, event_id="e1")
            (await locked(second, feature="ai_runs")).record("ai_runs", 1, ORIGIN, event_id="e1")
            await first.commit()
            await second.commit()

    with pytest.raises(ConcurrentUpdate):
        await race()
    assert (await standing(storage), await standing(storage, "ai_runs")) == ((1, 0), (0, 0))
    async with storage.open() as uow:
        known = EventKey("acme", "test", "e1")
        assert await found(uow.events, known, EventKey("globex", "test", "e1"), EventKey("acme", "other", "e1")) == [known]


async def test_a_record_is_found_with_what_its_corrections_left_of_it(storage: Storage) -> None:
    record = await book(storage, 5)
    async with storage.open() as uow:
        account = await locked(uow)
        corrections = [
            account.correct(CorrectedRecord(record, 5), -2, "refund", ORIGIN),
            account.correct(CorrectedRecord(record, 3), 1, "after all", ORIGIN),
        ]
        await uow.commit()
    async with storage.open() as uow:
        wanted = [record_key(record), record_key(corrections[0]), RecordKey("globex", record.id)]
        totals = [(item.record, item.total) for item in await found(uow.records, *wanted)]
        assert totals == [(record, 4), (corrections[0], -2)]
        assert await found(uow.records, RecordKey("globex", record.id)) == []
    assert await standing(storage) == (4, 0)
