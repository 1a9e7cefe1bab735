"""Take an assessment, if the plan has one left."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.learning.assessment import Assessment
from core.learning.features import ASSESSMENTS
from core.learning.ports import LearnerKey, LearningUnitOfWork
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.ledger import Origin
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class TakeAssessmentCommand:
    """`id` is the caller's name for the assessment; None: it gets one."""

    customer_id: str
    kind: str
    score: Decimal | None
    recorded_by: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class TakenAssessment:
    """An assessment, and where assessments stand. `is_new` is False where it had been taken before."""

    assessment: Assessment
    balance: Balance
    is_new: bool


class TakeAssessment(AccountUseCase[TakeAssessmentCommand, TakenAssessment, LearningUnitOfWork]):
    """Take an assessment and book one of the plan's assessments for it.

    - Refused where none is left in this billing period.
    - The same assessment again is answered with what is stored; other content under the same id is refused.
    """

    features = (ASSESSMENTS.key,)

    async def load(self, commands: Sequence[TakeAssessmentCommand], uow: LearningUnitOfWork) -> None:
        await uow.assessments.load(LearnerKey(command.customer_id, command.id) for command in commands if command.id is not None)

    def decide(self, command: TakeAssessmentCommand, account: Account, uow: LearningUnitOfWork) -> TakenAssessment:
        known = None if command.id is None else uow.assessments.get(LearnerKey(command.customer_id, command.id))
        if known is not None:
            known.require_same(command.kind, command.score)
            return TakenAssessment(known, account.balance(ASSESSMENTS.key), is_new=False)
        assessment = Assessment(
            id=command.id or str(account.new_id()),
            customer_id=command.customer_id,
            kind=command.kind,
            score=command.score,
            taken_at=account.now,
        )
        account.consume(ASSESSMENTS.key, 1, Origin("learning", command.recorded_by, assessment.id))
        uow.assessments.save(assessment)
        return TakenAssessment(assessment, account.balance(ASSESSMENTS.key), is_new=True)
