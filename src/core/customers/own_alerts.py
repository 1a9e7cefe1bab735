"""Give a customer thresholds of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.customers.change_terms import Agreed, ChangeTerms
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork
from core.errors import DomainError
from core.metering.balance import FeatureNotInPlan
from core.plans.agreement import OwnAlerts
from core.plans.alerts import EXPECTED_PERCENT, PERCENT_MAX, THRESHOLDS_MAX, Threshold, ThresholdType
from core.plans.drafts import limit_parts
from core.plans.features import Feature, InvalidQuantity


class InvalidThreshold(DomainError):
    """A threshold that no usage could stand at as it is written, or one too many. `message` says what belongs there."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def facts(self) -> Mapping[str, object]:
        return {"field": "thresholds"}


@dataclass(frozen=True, slots=True)
class ThresholdDraft:
    """As a caller writes it: a percentage, or a quantity in the feature's unit."""

    type: ThresholdType
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAlertsCommand:
    """These thresholds of the feature are in place of the plan's; none: nothing is raised."""

    customer_id: str
    feature: str
    thresholds: Sequence[ThresholdDraft]
    changed_by: str


class PutAlerts(ChangeTerms[PutAlertsCommand]):
    """Put a customer's own thresholds of a metered feature in place of its plan's, at once.

    - One that usage has long passed is raised at once, once in the period as all are.
    - They stay when the plan changes, and count while the plan meters the feature.
    """

    async def decide(self, command: PutAlertsCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        """Raises FeatureNotInPlan where nobody has declared the feature, and InvalidThreshold."""
        feature = (await uow.plans.features()).get(command.feature)
        if feature is None:
            raise FeatureNotInPlan(customer.plan_key, command.feature, declared=False)
        thresholds = tuple(sorted(_threshold(draft, feature) for draft in command.thresholds))
        if len(set(thresholds)) != len(thresholds) or len(thresholds) > THRESHOLDS_MAX:
            raise InvalidThreshold(f"At most {THRESHOLDS_MAX} different thresholds are expected: leave out those that come up twice.")
        agreement = customer.agreement.alerting(feature.key, OwnAlerts(feature.key, thresholds))
        return Agreed(replace(customer, agreement=agreement))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAlertsCommand:
    """The plan's own thresholds of the feature are to count again."""

    customer_id: str
    feature: str
    changed_by: str


class EndAlerts(ChangeTerms[EndAlertsCommand]):
    """Let the plan's thresholds count again, at once. Where the customer has none of its own, nothing changes."""

    async def decide(self, command: EndAlertsCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        return Agreed(replace(customer, agreement=customer.agreement.alerting(command.feature, None)))


def _threshold(draft: ThresholdDraft, feature: Feature) -> Threshold:
    if draft.type is ThresholdType.PERCENT:
        if draft.value != draft.value.to_integral_value() or not 1 <= draft.value <= PERCENT_MAX:
            raise InvalidThreshold(f"A percent is expected as {EXPECTED_PERCENT}, not {draft.value}.")
        return Threshold(draft.type, int(draft.value))
    try:
        parts = limit_parts(draft.value, feature)
    except InvalidQuantity as error:
        raise InvalidThreshold(f"Of {draft.type.value}: {error.message}") from error
    if parts == 0 and draft.type is ThresholdType.USED:
        raise InvalidThreshold("A threshold of what was used is expected to be above 0.")
    return Threshold(draft.type, parts)
