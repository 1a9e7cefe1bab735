"""Costs below a nano-dollar: added up exactly, booked as whole nano-dollars are reached, rounded once in the end."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.ledger import Origin
from core.operations.cost import dollars, half_even, reached
from core.operations.features import AI_COST
from core.operations.ports import WholeOperation
from core.plans.features import FRACTIONS
from core.plans.plan import Plan
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.operations import FakeOperationStore, Scanner

End = Callable[[Scanner], Awaitable[WholeOperation]]

HALF = FRACTIONS // 2
TINY = "3.7e-10"

sums = st.integers(0, 4 * 10**18 * FRACTIONS) | st.builds(
    lambda whole, rest: whole * FRACTIONS + rest, st.integers(0, 10**16), st.sampled_from([0, 1, HALF - 1, HALF, HALF + 1, FRACTIONS - 1])
)
exact = st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(0, 10**17 - 1), st.integers(11, 27))
doubles = st.floats(1e-10, 10).map(lambda cost: Decimal(str(cost)))
halves = st.integers(0, 9).map(lambda n: Decimal(n * 5).scaleb(-10))
cost_lists = st.lists(exact | doubles | halves, min_size=1, max_size=12)


def used(scanner: Scanner) -> int:
    return sum(record.quantity for record in scanner.store.ledger if record.feature == AI_COST.key)


@given(total=sums)
def test_in_the_end_a_sum_is_rounded_half_even(total: int) -> None:
    assert half_even(total) == round(Fraction(total, FRACTIONS))


@given(total=sums, more=sums)
def test_what_a_growing_sum_has_reached_never_falls_and_never_passes_what_is_booked_in_the_end(total: int, more: int) -> None:
    assert total // FRACTIONS <= reached(total) <= half_even(total)
    assert reached(total) <= reached(total + more)


@pytest.mark.parametrize(
    ("cost", "parts"),
    [
        ("0.74e-9", 0),
        ("0.999999e-9", 0),
        ("0.9999999999999999e-9", 1),
        ("1e-9", 1),
        ("2.0999999999999996", 2_100_000_000),
        ("2.0999999995", 2_099_999_999),
        ("1234567.123456784", 1_234_567_123_456_784),
        ("1234567.1234567899", 1_234_567_123_456_790),
        ("1234567.1234567894", 1_234_567_123_456_789),
        ("1234567.12345678949999", 1_234_567_123_456_789),
    ],
)
def test_a_sum_has_reached_what_it_is_shown_to_have_reached(cost: str, parts: int) -> None:
    assert reached(AI_COST.fractions_of_work(Decimal(cost))) == parts


@pytest.mark.parametrize(("cost", "shown"), [(TINY, TINY), ("0.30000000000000004", "0.3"), ("1e-27", "1e-27"), ("0", "0")])
def test_dollars_are_shown_to_15_significant_digits(cost: str, shown: str) -> None:
    assert dollars(AI_COST.fractions_of_work(Decimal(cost))) == Decimal(shown)


async def test_200_steps_of_less_than_a_nano_dollar_add_up(ada: Scanner) -> None:
    await ada.starts()
    seen = []
    for _ in range(200):
        added = await ada.adds(TINY)
        seen.append(used(ada))
    assert seen == [37 * n // 100 for n in range(1, 201)]
    assert (added.operation.total_cost, added.operation.total_cost_fraction) == (74, 0)
    assert (await ada.completes()).operation.closing_cost == 0
    assert await ada.stands() == ((0, 0), (74, 0))


@pytest.mark.parametrize("end", [Scanner.completes, Scanner.fails])
async def test_the_rest_is_rounded_once_when_the_operation_ends(ada: Scanner, end: End) -> None:
    await ada.starts()
    await ada.adds("1e-9", feature="ocr")
    await ada.adds("0.7e-9", feature="ai")
    before = used(ada)
    assert ((await end(ada)).operation.closing_cost, used(ada) - before) == (1, 1)
    await end(ada)
    assert await ada.stands() == ((0, 0), (2, 0))
    closing = ada.store.ledger[-1]
    assert (closing.dimension, closing.origin, closing.occurred_at) == ("ai", Origin("operations", "app", "scan#end"), NOW)


async def test_an_operation_without_steps_ends_with_nothing_booked(ada: Scanner) -> None:
    await ada.starts()
    await ada.completes()
    assert ada.store.ledger == []


async def test_a_step_takes_from_the_hold_what_it_books(ada: Scanner) -> None:
    await ada.starts("scan", "0.000000010", 0)
    await ada.adds(TINY)
    assert await ada.stands() == ((0, 0), (0, 10))
    await ada.adds(TINY)
    await ada.adds(TINY)
    assert await ada.stands() == ((0, 0), (1, 9))


async def test_what_ends_an_operation_above_the_limit_is_overage(ada: Scanner) -> None:
    await ada.starts()
    await ada.adds("3.0000000007")
    await ada.completes()
    assert [record.overage for record in ada.store.ledger] == [0, 1]


async def test_what_ends_an_operation_is_booked_for_a_plan_that_does_not_have_the_feature(ada: Scanner) -> None:
    await ada.starts()
    await ada.adds("0.7e-9")
    ada.moves_to(Plan("neither", 1, "Neither", {}))
    await ada.completes()
    assert [record.overage for record in ada.store.ledger] == [1]


async def test_the_rest_of_one_operation_is_not_another_ones(ada: Scanner) -> None:
    for id in ("one", "other"):
        await ada.starts(id, "0.000000001", 0)
        await ada.adds("0.4e-9", to=id)
        await ada.completes(id)
    assert used(ada) == 0


@pytest.mark.parametrize(("cost", "parts"), [("0.5e-9", 0), ("0.6e-9", 1), ("1.5e-9", 2), ("2.5e-9", 2), ("2.7e-9", 3), ("3e-9", 3)])
async def test_a_standalone_operation_is_rounded_once(ada: Scanner, cost: str, parts: int) -> None:
    added = await ada.adds_standalone(cost, billable_run=False)
    assert (used(ada), len(ada.store.ledger), added.operation.closing_cost) == (parts, int(parts > 0), 0)


@pytest.mark.parametrize(
    ("costs", "carried"),
    [
        (["0.4e-9", "0.7e-9"], [0, 1]),
        (["1.2338493766125334", "1e-10", "124999.99999999979"], [0, 0, 2]),  # a rest that makes one up, and one that shows as one
        (["2.1000000009999999", "2000000"], [1, -1]),  # what showed as one does not any more beside two millions
    ],
)
async def test_a_step_carries_what_the_sum_reaches_beyond_its_own_whole_nano_dollars(
    ada: Scanner, costs: list[str], carried: list[int]
) -> None:
    await ada.starts()
    assert [(await ada.adds(cost)).step.carried_cost for cost in costs] == carried
    await ada.completes()
    assert used(ada) == round(sum(map(Fraction, costs)) * AI_COST.resolution)


@given(costs=cost_lists, completes=st.booleans())
async def test_what_is_booked_of_an_operation_is_its_exact_sum_rounded_half_even(costs: list[Decimal], completes: bool) -> None:
    scanner = Scanner(FakeOperationStore())
    await scanner.starts()
    total = Fraction(0)
    for cost in costs:
        total += Fraction(cost) * AI_COST.resolution
        added = await scanner.adds(str(cost))
        booked = sum(step.work.cost + step.carried_cost for step in scanner.store.steps.values())
        assert Fraction(added.operation.fractions, FRACTIONS) == total
        assert total // 1 <= used(scanner) == booked <= round(total)
    operation = (await (scanner.completes() if completes else scanner.fails())).operation
    assert used(scanner) == booked + operation.closing_cost == round(total)
    assert all(step.work.cost + step.carried_cost >= 0 for step in scanner.store.steps.values())
