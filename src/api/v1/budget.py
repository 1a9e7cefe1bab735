"""/api/v1/budget: what AI operations may still cost, and what they have cost."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, Field, WithJsonSchema

from api.dependencies import ProductReader, container_of
from api.docs import refusals
from api.errors import code_of
from api.frame.refused import note
from api.frame.route import FrameRoute
from api.v1.bodies import RUNS_MAX, BalanceAnswer, PeriodBody, to_balance
from api.wire import Answer, Number, QueryInteger, money, number
from core.metering.balance import Balance
from core.operations.budget import FeatureSpend
from core.operations.features import AI_COST, AI_RUNS

PRODUCT: Final = "operations"

router = APIRouter(prefix="/api/v1/budget", tags=["AI operations"], route_class=FrameRoute)

UNLIMITED = "unlimited"


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def _as_in_json(value: Any) -> Any:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("a number is expected, written as in JSON")
    return value


Dollars = Annotated[
    Decimal, BeforeValidator(_as_in_json), Query(description="in dollars", examples=[0.02]), WithJsonSchema({"type": "number"})
]


class BudgetStanding(BalanceAnswer):
    """Where runs or cost stand in the period of their own limit. `display` is used / limit; dollars are rounded down to the cent."""

    display: Annotated[str, Field(examples=["1 / 30", "$0.00 / $3.00"])]


def _standing(balance: Balance) -> BudgetStanding:
    shown = _dollars if balance.feature == AI_COST else str
    limit = UNLIMITED if balance.limit is None else shown(balance.limit)
    return BudgetStanding(**to_balance(balance), display=f"{shown(balance.used)} / {limit}")


class SpendAnswer(Answer):
    """What one feature contributes; null is usage that was booked without one. Beyond 100, the smallest are added up as `other`."""

    feature: str | None
    cost: Number
    runs: int

    @classmethod
    def of(cls, spend: FeatureSpend) -> "SpendAnswer":
        return cls(feature=spend.feature, cost=number(spend.cost, AI_COST), runs=spend.runs)


class BudgetAnswer(Answer):
    """A customer's AI budget. `period` is that of the cost; `by_feature` adds up to what is used of both."""

    plan: str
    period: PeriodBody
    runs: BudgetStanding
    cost: BudgetStanding
    by_feature: list[SpendAnswer]


class AffordAnswer(Answer):
    """Whether an operation with this estimate could be started now; if not, why (an error code)."""

    allowed: bool
    reason: str | None
    runs: BudgetStanding
    cost: BudgetStanding


@router.get("")
async def get_budget(request: Request, caller: ProductReader) -> BudgetAnswer:
    """Where runs and cost stand at this moment, and which features they were for, the most expensive first."""
    container = container_of(request)
    budget = await container.read_budget().execute(caller.customer_id)
    return BudgetAnswer(
        plan=budget.plan,
        period=PeriodBody.of(budget.cost.period),
        runs=_standing(budget.runs),
        cost=_standing(budget.cost),
        by_feature=[SpendAnswer.of(spend) for spend in budget.by_feature],
    )


@router.get("/can-afford", responses=refusals("invalid_quantity"))
async def can_afford(
    request: Request,
    caller: ProductReader,
    cost: Dollars = Decimal(0),
    runs: Annotated[QueryInteger, Query(ge=0, le=RUNS_MAX)] = 1,
) -> AffordAnswer:
    """Could an operation with this estimate be started now? The rules are those of starting one; nothing is held."""
    container = container_of(request)
    checked = await container.check_budget().execute(caller.customer_id, cost, runs)
    if checked.refusal is not None:
        note(request, caller.customer_id, "can_afford", checked.refusal, asked=True)
    return AffordAnswer(
        allowed=checked.refusal is None,
        reason=checked.refusal and code_of(checked.refusal),
        runs=_standing(checked.balances[AI_RUNS.key]),
        cost=_standing(checked.balances[AI_COST.key]),
    )


def _dollars(parts: int) -> str:
    return money(Decimal(parts) / AI_COST.resolution)
