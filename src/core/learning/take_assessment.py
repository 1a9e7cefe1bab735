"""Take an assessment, if the plan has one left."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.learning.assessment import Assessment
from core.learning.ports import LearningUnitOfWork, OwnId
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.idempotency import Idempotency
from core.metering.ledger import Origin
from core.metering.use_case import AccountUseCase
from core.plans.features import ASSESSMENTS


@dataclass(frozen=True, slots=True)
class TakeAssessmentCommand:
    """`id` is the caller's name for the assessment; None: it gets one."""

    customer_id: str
    kind: str
    score: Decimal | None
    recorded_by: str
    id: str | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class TakenAssessment:
    """An assessment, and where assessments stand. `is_new` is False where it had been taken before."""

    assessment: Assessment
    balance: Balance
    is_new: bool


class TakeAssessment(AccountUseCase[TakeAssessmentCommand, TakenAssessment, LearningUnitOfWork, dict[OwnId, Assessment]]):
    """Take an assessment and book one of the plan's assessments for it.

    - Refused where none is left in this billing period.
    - The same assessment again is answered with what is stored; other content under the same id is refused.
    """

    def features(self, command: TakeAssessmentCommand) -> Collection[str]:
        return (ASSESSMENTS.key,)

    async def read(self, commands: Sequence[TakeAssessmentCommand], uow: LearningUnitOfWork) -> dict[OwnId, Assessment]:
        named = [(command.customer_id, command.id) for command in commands if command.id is not None]
        return await uow.assessments.find(named) if named else {}

    def decide(
        self, command: TakeAssessmentCommand, account: Account, facts: dict[OwnId, Assessment], uow: LearningUnitOfWork
    ) -> TakenAssessment:
        id = command.id or str(account.new_id())
        known = facts.get((command.customer_id, id))
        if known is not None:
            known.require_same(command.kind, command.score)
            return TakenAssessment(known, account.balance(ASSESSMENTS.key), is_new=False)
        assessment = Assessment(id, command.customer_id, command.kind, command.score, taken_at=account.now)
        account.consume(ASSESSMENTS.key, 1, Origin("learning", command.recorded_by, id))
        facts[command.customer_id, id] = assessment
        uow.assessments.add(assessment)
        return TakenAssessment(assessment, account.balance(ASSESSMENTS.key), is_new=True)
