"""An event of another system is booked once, ever: whoever reports it, and however often."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from core.errors import ConcurrentUpdate
from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, FeatureNotInPlan
from core.metering.ingest_events import IngestEventCommand, IngestEvents
from core.metering.ledger import EventKey, InvalidOccurredAt, Origin, UsageRecord
from core.metering.meters import Meter
from core.plans.features import InvalidQuantity
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore, FakeUnitOfWork

LAST_MONTH = NOW - timedelta(days=30)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME, replace(ACME, id="globex")])


def event(
    id: str = "e-1",
    quantity: str = "1",
    *,
    feature: str = "sessions",
    source: str = "billing",
    customer_id: str = "acme",
    occurred_at: datetime | None = None,
) -> IngestEventCommand:
    return IngestEventCommand(
        customer_id=customer_id,
        amounts=[Amount(feature, Decimal(quantity), "eu")],
        source=source,
        event_id=id,
        recorded_by="importer",
        occurred_at=occurred_at,
    )


async def ingest(store: FakeStore, *events: IngestEventCommand) -> list[object]:
    return list(await IngestEvents(store.unit_of_work, lambda: NOW).execute(calls(*events)))


def used(store: FakeStore, customer_id: str = "acme") -> int:
    return store.used_within(customer_id, "sessions", PERIOD)


async def test_a_new_event_is_booked_with_all_that_it_says(store: FakeStore) -> None:
    assert await ingest(store, event("e-1", "30.5", feature="minutes", occurred_at=NOW - timedelta(days=1))) == [True]
    (record,) = store.ledger
    assert record == UsageRecord(
        id=record.id,
        customer_id="acme",
        feature="minutes",
        quantity=1830,
        occurred_at=NOW - timedelta(days=1),
        recorded_at=NOW,
        origin=Origin("billing", "importer"),
        event_id="e-1",
        dimension="eu",
    )
    assert store.counters[Meter("acme", "minutes")] == Counter(PERIOD, 1830)


async def test_an_event_that_is_known_books_nothing_whatever_else_it_says(store: FakeStore) -> None:
    await ingest(store, event("e-1"))
    assert await ingest(store, event("e-1"), event("e-1", "5"), event("e-1", feature="minutes")) == [False, False, False]
    assert (len(store.ledger), used(store)) == (1, 1)


async def test_an_event_that_comes_twice_in_one_list_is_booked_once(store: FakeStore) -> None:
    assert await ingest(store, event("e-1"), event("e-1"), event("e-2")) == [True, False, True]
    assert used(store) == 2


async def test_the_same_id_of_another_source_or_customer_is_another_event(store: FakeStore) -> None:
    assert await ingest(store, event(), event(source="crm"), event(customer_id="globex")) == [True, True, True]
    assert (used(store), used(store, "globex")) == (2, 1)


async def test_what_an_event_reports_has_been_used_and_is_booked_above_the_limit(store: FakeStore) -> None:
    assert await ingest(store, event("e-1", "12")) == [True]
    assert store.ledger[0].overage == 2


async def test_an_event_counts_in_the_period_in_which_it_occurred(store: FakeStore) -> None:
    await ingest(store, event("e-1", occurred_at=LAST_MONTH), event("e-2"))
    assert used(store) == 1
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 1)


async def test_an_event_that_is_refused_can_be_sent_again_and_its_neighbours_are_booked(store: FakeStore) -> None:
    outcomes = await ingest(
        store,
        event("e-1", "-1"),
        event("e-1"),
        event("e-2", occurred_at=NOW - timedelta(days=36)),
        event("e-3", feature="unheard_of"),
        event("e-4", customer_id="nobody"),
        event("e-5"),
    )
    assert [outcome if isinstance(outcome, bool) else type(outcome) for outcome in outcomes] == [
        InvalidQuantity,
        True,
        InvalidOccurredAt,
        FeatureNotInPlan,
        CustomerNotFound,
        True,
    ]
    assert used(store) == 2
    assert await ingest(store, event("e-2")) == [True]


async def test_an_event_of_nothing_is_booked_and_known(store: FakeStore) -> None:
    assert await ingest(store, event("e-1", "0"), event("e-2", "0.4"), event("e-1", "7")) == [True, True, False]
    assert [record.quantity for record in store.ledger] == [0, 0]


async def test_an_event_that_somebody_else_books_meanwhile_undoes_the_list(store: FakeStore) -> None:
    class OvertakenUnitOfWork(FakeUnitOfWork):
        async def commit(self) -> None:
            store.ledger.append(UsageRecord(store.new_id(), "acme", "sessions", 1, NOW, NOW, Origin("billing", "another"), event_id="e-1"))
            await super().commit()

    with pytest.raises(ConcurrentUpdate):
        await IngestEvents(lambda: OvertakenUnitOfWork(store), lambda: NOW).execute(calls(event("e-1"), event("e-2")))
    assert [record.origin.recorded_by for record in store.ledger] == ["another"]


def test_an_event_is_known_by_its_customer_source_and_id() -> None:
    assert event().key == EventKey("acme", "billing", "e-1")


async def test_an_event_of_several_features_is_booked_to_all_of_them_and_known_by_one_id(store: FakeStore) -> None:
    both = event()._replace(amounts=[Amount("sessions", Decimal(2)), Amount("minutes", Decimal(1), "eu")])
    assert await ingest(store, both, both) == [True, False]
    found = [(record.feature, record.quantity, record.event_id, record.origin.reference) for record in store.ledger]
    assert found == [("sessions", 2, "e-1", "e-1"), ("minutes", 60, None, "e-1")]


async def test_an_event_of_several_features_is_booked_to_all_of_them_or_to_none(store: FakeStore) -> None:
    broken = event()._replace(amounts=[Amount("sessions", Decimal(2)), Amount("minutes", Decimal(-1))])
    (outcome,) = await ingest(store, broken)
    assert isinstance(outcome, InvalidQuantity)
    assert store.ledger == []
    assert await ingest(store, event()) == [True]
