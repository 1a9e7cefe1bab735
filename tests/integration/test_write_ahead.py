"""Long lists are written while they are decided, and it does not show."""

from decimal import Decimal
from typing import Any

import pytest

from core.metering.balance import Amount, LimitExceeded
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand
from core.metering.ledger import LedgerQuery, Origin
from infrastructure.sql.engine.accounts import WRITTEN_AHEAD
from tests.integration.in_process import Engine, engine_on
from tests.unit.fakes.calls import calls

LIMIT = 3 * WRITTEN_AHEAD + 50


class BreaksInTheMiddle(ConsumeUsage):
    """Cannot decide one command of the list, for a reason that is no refusal."""

    def decide(self, command: ConsumeUsageCommand, *rest: Any) -> Consumed:
        if command.origin.reference == str(LIMIT):
            raise RuntimeError("broken")
        return super().decide(command, *rest)


def commands(customer: str) -> list[ConsumeUsageCommand]:
    return [
        ConsumeUsageCommand(customer_id=customer, amounts=[Amount("calls", Decimal(1))], origin=Origin("api", None, str(n)))
        for n in range(LIMIT + 100)
    ]


async def records(engine: Engine, customer: str) -> int:
    return len(await engine.container.ledger_reader().newest(LedgerQuery(customer, 10_000)))


async def test_a_long_list_is_booked_to_the_limit_and_no_further(database_url: str) -> None:
    async with engine_on(database_url) as engine:
        customer = await engine.customer(calls=LIMIT)

        outcomes = await engine.container.consume_usage().execute(calls(*commands(customer)))

        assert [type(outcome) for outcome in outcomes] == [Consumed] * LIMIT + [LimitExceeded] * 100
        assert (await engine.balance(customer, "calls")).used == await records(engine, customer) == LIMIT
        assert not await engine.drift(customer)


async def test_a_list_that_breaks_in_the_middle_leaves_nothing_and_a_connection_that_works(database_url: str) -> None:
    async with engine_on(database_url) as engine:
        customer = await engine.customer(calls=None)
        broken = BreaksInTheMiddle(engine.container.unit_of_work, engine.container.clock())

        with pytest.raises(RuntimeError):
            await broken.execute(calls(*commands(customer)))

        assert (await engine.balance(customer, "calls")).used == await records(engine, customer) == 0
        await engine.container.consume_usage().execute(calls(*commands(customer)[:3]))
        assert await records(engine, customer) == 3
