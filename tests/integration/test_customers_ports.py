"""What customers promise beyond `test_contract_of_repositories.py`: they are locked for a change, and created once."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from core.customers.customer import Customer
from core.customers.put_customer import ChangeCustomer, CustomerChanges, PutCustomer, PutCustomerCommand
from core.errors import ConcurrentUpdate
from infrastructure.batching.retries import Retried
from infrastructure.phone_numbers import LibraryPhoneRegions
from infrastructure.sql.driver.connections import Connections
from tests.integration.kinds import LATER, NOW, PLANS, customers
from tests.integration.units_of_work import SqlStorage, Storage
from tests.unit.fakes.customers import CustomersStore

ACME = customers("acme").first
MOVED = customers("acme").next
GLOBEX = customers("globex").first


@pytest.fixture
def fake_store() -> CustomersStore:
    return CustomersStore()


@pytest.fixture
async def storage(storage: Storage) -> Storage:
    for plan in PLANS:
        await storage.publish(plan)
    return storage


async def known(storage: Storage, id: str) -> Customer | None:
    async with storage.open() as uow:
        await uow.customers.load([id])
        found: Customer | None = uow.customers.get(id)
        return found


async def locked(uow: Any, id: str = "acme") -> Customer | None:
    await uow.customers.lock(id)
    found: Customer | None = uow.customers.get(id)
    return found


async def test_a_customer_that_is_locked_is_known_as_it_stands_or_as_absent(storage: Storage) -> None:
    await storage.put(ACME)
    async with storage.open() as uow:
        assert (await locked(uow), await locked(uow, "globex")) == (ACME, None)
        uow.customers.save(MOVED)
        uow.customers.save(GLOBEX)
        await uow.commit()
    assert (await known(storage, "acme"), await known(storage, "globex")) == (MOVED, GLOBEX)


async def test_a_change_waits_for_the_one_before_it_and_sees_what_that_left(storage: Storage) -> None:
    await storage.put(ACME)
    await storage.put(GLOBEX)

    async def change() -> None:
        async with storage.open() as uow:
            before = await locked(uow)
            assert before is not None
            uow.customers.save(replace(before, phone_region="US"))
            await uow.commit()

    async with storage.open() as first:
        await first.customers.load(["acme"])
        await locked(first)
        second = asyncio.create_task(change())
        await asyncio.sleep(0.1)
        assert not second.done()
        async with storage.open() as other:
            assert await asyncio.wait_for(locked(other, "globex"), 5) == GLOBEX
        first.customers.save(replace(ACME, billing=MOVED.billing))
        await first.commit()
    await asyncio.wait_for(second, 5)
    assert await known(storage, "acme") == replace(ACME, billing=MOVED.billing, phone_region="US")


async def test_locking_sees_what_has_changed_since_the_customer_was_loaded(storage: Storage) -> None:
    await storage.put(ACME)
    async with storage.open() as uow:
        await uow.customers.load(["acme"])
        await storage.put(MOVED)
        assert await locked(uow) == MOVED


@pytest.mark.parametrize("how", ["locked", "loaded"])
async def test_of_two_who_create_a_customer_at_once_one_has_to_run_again_and_then_finds_it(storage: Storage, how: str) -> None:
    async def create(uow: Any, customer: Customer) -> None:
        await (uow.customers.lock("acme") if how == "locked" else uow.customers.load(["acme"]))
        assert uow.customers.get("acme") is None
        uow.customers.save(customer)
        uow.customers.save(replace(customer, phone_region="US"))

    async def race() -> None:
        async with storage.open() as first, storage.open() as second:
            await create(first, ACME)
            await create(second, MOVED)
            second.customers.save(GLOBEX)
            await first.commit()
            await second.commit()

    with pytest.raises(ConcurrentUpdate):
        await race()
    assert (await known(storage, "acme"), await known(storage, "globex")) == (replace(ACME, phone_region="US"), None)
    async with storage.open() as uow:
        assert await locked(uow) == replace(ACME, phone_region="US")


async def test_a_lock_ends_with_its_transaction_whatever_becomes_of_it(storage: Storage) -> None:
    await storage.put(ACME)
    with suppress(RuntimeError):
        async with storage.open() as uow:
            await locked(uow)
            uow.customers.save(MOVED)
            raise RuntimeError
    async with storage.open() as uow:
        assert await asyncio.wait_for(locked(uow), 5) == ACME


async def test_a_new_customer_whose_command_was_refused_is_not_created(storage: Storage) -> None:
    async with storage.open() as uow:
        await locked(uow)
        mark = uow.journal.mark()
        uow.customers.save(ACME)
        uow.journal.undo(mark)
        assert uow.customers.get("acme") is None
        await uow.commit()
    assert await known(storage, "acme") is None


async def test_many_who_create_and_change_a_customer_at_once_all_succeed(connections: Connections) -> None:
    storage = SqlStorage(connections)
    for plan in PLANS:
        await storage.publish(plan)
    put, change = (Retried(use_case(storage.open, lambda: NOW, LibraryPhoneRegions(), uuid4)) for use_case in (PutCustomer, ChangeCustomer))
    for n in range(5):
        id = f"customer {n}"
        command = PutCustomerCommand(customer_id=id, plan="pro", changes={}, changed_by="key")
        outcomes = await asyncio.gather(*(put.execute(command) for _ in range(6)))
        assert [is_new for _, is_new in outcomes].count(True) == 1
        changes: list[CustomerChanges] = [
            {"plan": "free"},
            {"phone_region": "US"},
            {"time_zone": "Europe/Vienna"},
            {"billing_anchor": LATER},
        ]
        await asyncio.gather(*(change.execute(id, one, "key") for one in changes))
        changed = await known(storage, id)
        assert changed is not None
        told = (changed.plan_key, changed.phone_region, changed.billing.zone.key, changed.billing.anchor)
        assert told == ("free", "US", "Europe/Vienna", LATER)
