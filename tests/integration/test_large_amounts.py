"""Sums that are too large for a column leave nobody without an answer."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.metering.balance import LimitExceeded
from core.metering.correct_record import Corrected, CorrectRecordCommand
from core.metering.reserve_usage import ReserveUsageCommand
from core.metering.use_case import execute_one
from core.plans.features import QUANTITY_PARTS_MAX, InvalidQuantity
from tests.integration.in_process import ORIGIN, Engine, consume, engine_on, record
from tests.unit.fakes.calls import calls

LAST_MONTH = datetime(2026, 10, 25, tzinfo=UTC)
TOO_MANY = 2**63 // QUANTITY_PARTS_MAX + 1


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def overfull(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[str, UUID]:
    """A customer with more usage last month than a column can add up, and a record of it; the clock goes back to that month.

    Usage of earlier periods was not always bounded.
    """
    with monkeypatch.context() as unbounded:
        unbounded.setattr("core.metering.account.USED_PARTS_MAX", 2**80)
        return await _overfull(engine)


async def _overfull(engine: Engine) -> tuple[str, UUID]:
    id = await engine.customer(calls=10)
    commands = [record(id, "calls", QUANTITY_PARTS_MAX, occurred_at=LAST_MONTH) for _ in range(TOO_MANY)]
    outcomes = await engine.container.consume_usage().execute(calls(*commands))
    engine.now = LAST_MONTH
    return id, outcomes[0].records[0].id


async def test_an_overfull_period_is_read_refused_and_corrected(engine: Engine, overfull: tuple[str, UUID]) -> None:
    id, wrong = overfull
    use_case = engine.container.consume_usage()
    assert (await engine.balance(id, "calls")).remaining == 0
    with pytest.raises(LimitExceeded):
        await execute_one(use_case, *consume(id, "calls"))
    with pytest.raises(InvalidQuantity, match="total would be too large"):
        await execute_one(use_case, *record(id, "calls"))
    assert await engine.drift(id) == []

    correction = CorrectRecordCommand(
        customer_id=id, record_id=wrong, quantity=Decimal(-QUANTITY_PARTS_MAX), reason="a slip of the pen", recorded_by=ORIGIN.source
    )
    corrected = await execute_one(engine.container.correct_record(), correction)

    assert isinstance(corrected, Corrected)
    assert (await engine.balance(id, "calls")).remaining == 0


async def test_what_is_set_aside_is_bounded_like_what_is_used(engine: Engine) -> None:
    id = await engine.customer(calls=None)
    commands = [
        ReserveUsageCommand(customer_id=id, amounts=consume(id, "calls", QUANTITY_PARTS_MAX).command.amounts, ttl=timedelta(hours=1))
        for _ in range(TOO_MANY)
    ]

    outcomes = await engine.container.reserve_usage().execute(calls(*commands))

    assert isinstance(outcomes[-1], InvalidQuantity)
    assert (await engine.balance(id, "calls")).held == QUANTITY_PARTS_MAX * sum(not isinstance(outcome, Exception) for outcome in outcomes)
