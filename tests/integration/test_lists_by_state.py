"""What readers promise of operations and reservations beyond `test_readers.py`: lists of those that stand in one way."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.reservations import Reservation, ReservationState
from core.operations.operation import Operation, OperationStatus
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.engine.reservations import SqlReservationReader
from infrastructure.sql.products.operations import SqlOperationReader
from tests.integration import kinds
from tests.integration.kinds import LATER, NOW, PLANS
from tests.integration.units_of_work import INSTANT, SqlStorage


@pytest.fixture
async def storage(connections: Connections) -> SqlStorage:
    """With two customers."""
    storage = SqlStorage(connections)
    for plan in PLANS:
        await storage.publish(plan)
    for id in ("acme", "globex"):
        await storage.put(kinds.customers(id).first)
    return storage


def operation(number: int, status: OperationStatus, customer: str = "acme", at: datetime = NOW) -> Operation:
    made: Operation = replace(kinds.operations(customer).first, id=f"{number}", created_at=at, status=status)
    return made


def reservation(number: int, customer: str = "acme", **fields: Any) -> Reservation:
    made: Reservation = replace(kinds.reservations(customer).first, id=UUID(int=number), created_at=NOW, **fields)
    return made


async def keep(storage: SqlStorage, repository: str, *things: Any) -> None:
    async with storage.open() as uow:
        for thing in things:
            getattr(uow, repository).save(thing)
        await uow.commit()


async def test_operations_of_one_status_are_listed_wherever_pages_are_cut(connections: Connections, storage: SqlStorage) -> None:
    statuses = [*OperationStatus] * 3
    made = [operation(n, status, at=NOW + n // 2 * INSTANT) for n, status in enumerate(statuses)]
    await keep(storage, "operations", *made, *(operation(n, status, "globex") for n, status in enumerate(statuses)))
    reader = SqlOperationReader(connections)
    for status in OperationStatus:
        before, found = None, list[Operation]()
        while page := await reader.newest_in("acme", 2, before, status=status):
            found += page
            before = reader.position(page[-1])
        assert found == [one for one in reversed(made) if one.status is status]
    with pytest.raises(CustomerNotFound):
        await reader.newest_in("nobody", 2, None, status=OperationStatus.RUNNING)


async def test_reservations_are_listed_by_their_state_at_an_instant(connections: Connections, storage: SqlStorage) -> None:
    ends = {"finished_at": NOW, "held": {}}
    made = {
        "held": reservation(1, expires_at=LATER),
        "expired": reservation(2, expires_at=LATER - INSTANT),
        "committed": reservation(3, state=ReservationState.COMMITTED, actual={"sessions": 1}, **ends),
        "released": reservation(4, state=ReservationState.RELEASED, **ends),
    }
    await keep(storage, "reservations", *made.values(), reservation(5, "globex"))
    reader = SqlReservationReader(connections)
    at = LATER - INSTANT
    for state in ReservationState:
        assert await reader.newest_in("acme", 10, None, state=state, at=at) == [made[state]]
        assert made[state].state_at(at) is state
    assert list(await reader.newest("acme", 10, None)) == [*reversed(made.values())]
    assert await reader.newest_in("acme", 10, None, state=ReservationState.HELD, at=LATER) == []
    with pytest.raises(CustomerNotFound):
        await reader.newest_in("nobody", 10, None, state=ReservationState.HELD, at=at)
