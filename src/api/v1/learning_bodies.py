"""What learners send and get: the bodies of the routes in `learning.py`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from api.v1.bodies import OwnId, PeriodBody, display, to_balance
from api.wire import Answer, FinishedDetail, FinishedProse, Id, Label, Number, RoundNumber, Seconds, Wire, decimal_number
from core.learning.abandon_practice_session import AbandonedPractice
from core.learning.assessment import Assessment
from core.learning.features import ASSESSMENTS, PRACTICE_SESSIONS
from core.learning.learning_plan import TOTAL_SESSIONS_MAX, LearningPlan
from core.learning.practice_session import PracticeSession, PracticeStatus
from core.learning.save_practice_session import SavedPractice
from core.learning.start_practice_session import StartedPractice
from core.metering.account import Account
from core.metering.balance import Balance
from core.plans.periods import Reset

SCORE_MAX = Decimal(1_000_000)

ShortLabel = Annotated[Label, Field(max_length=64)]
PartOf = Annotated[Id | None, Field(description="the learning plan that it is part of; null: free practice")]
Sessions = Annotated[int, Field(ge=1, le=TOTAL_SESSIONS_MAX, strict=True)]


class NewLearningPlan(Wire):
    """What the plan is for, and how much practice it asks for."""

    language: Annotated[ShortLabel, Field(examples=["es"])]
    level: Annotated[ShortLabel, Field(examples=["B1"])]
    total_sessions: Annotated[Sessions, Field(examples=[8])]
    sessions_per_week: Annotated[Sessions, Field(examples=[2])]


class PracticeStart(Wire):
    """What is about to be practised."""

    id: OwnId = None
    learning_plan_id: PartOf = None


class FinishedPractice(Wire):
    """What was practised."""

    id: OwnId = None
    learning_plan_id: PartOf = None
    conversation_type: Annotated[FinishedDetail, Field(examples=["role_play"])] = None
    duration_seconds: Annotated[Seconds, Field(examples=[540])]
    summary: FinishedProse | None = None


class NewAssessment(Wire):
    """What was assessed."""

    id: OwnId = None
    kind: Annotated[ShortLabel, Field(examples=["speaking"])]
    score: Annotated[
        RoundNumber | None,
        Field(ge=-SCORE_MAX, le=SCORE_MAX, description="on your own scale, rounded to 15 significant digits", examples=[78.5]),
    ] = None


class WeekAnswer(Answer):
    """A week of the schedule."""

    week: int
    sessions_total: int
    sessions_completed: int


class LearningPlanAnswer(Answer):
    """A learning plan and how far it has come."""

    id: str
    language: str
    level: str
    total_sessions: int
    sessions_per_week: int
    completed_sessions: Annotated[int, Field(description="practice beyond the last session is not counted here")]
    progress_percentage: Annotated[Number, Field(examples=[12.5])]
    weekly_schedule: Sequence[WeekAnswer]
    created_at: datetime

    @classmethod
    def of(cls, plan: LearningPlan) -> "LearningPlanAnswer":
        return cls(
            id=plan.id,
            language=plan.language,
            level=plan.level,
            total_sessions=plan.total_sessions,
            sessions_per_week=plan.sessions_per_week,
            completed_sessions=plan.completed_sessions,
            progress_percentage=decimal_number(plan.progress_percentage),
            weekly_schedule=[
                WeekAnswer(week=week.number, sessions_total=week.sessions_total, sessions_completed=week.sessions_completed)
                for week in plan.weekly_schedule
            ],
            created_at=plan.created_at,
        )


class PracticeSubscription(Answer):
    """Where practice sessions stand in this billing period. Null: unlimited. What is held for started sessions does not remain."""

    sessions_used: Number
    sessions_limit: Number | None
    sessions_remaining: Number | None
    display: Annotated[str, Field(description="remaining/limit", examples=["29/30"])]

    @classmethod
    def of(cls, balance: Balance) -> "PracticeSubscription":
        told = to_balance(balance)
        return cls(
            sessions_used=told["used"],
            sessions_limit=told["limit"],
            sessions_remaining=told["remaining"],
            display=display(balance),
        )


class AssessmentSubscription(Answer):
    """Where assessments stand in this billing period. Null: unlimited."""

    assessments_used: Number
    assessments_limit: Number | None
    assessments_remaining: Number | None

    @classmethod
    def of(cls, balance: Balance) -> "AssessmentSubscription":
        told = to_balance(balance)
        return cls(assessments_used=told["used"], assessments_limit=told["limit"], assessments_remaining=told["remaining"])


class StartedAnswer(Answer):
    """A started practice session: one of the plan's sessions is held for it until it is saved or its time is over."""

    id: str
    learning_plan_id: str | None
    status: PracticeStatus
    started_at: datetime | None
    expires_at: Annotated[datetime, Field(description="when the held session is given back, unless this one is saved before")]
    subscription: PracticeSubscription

    @classmethod
    def of(cls, started: StartedPractice) -> "StartedAnswer":
        session = started.session
        return cls(
            id=session.id,
            learning_plan_id=session.learning_plan_id,
            status=session.status,
            started_at=session.started_at,
            expires_at=started.hold.expires_at,
            subscription=PracticeSubscription.of(started.balance),
        )


class AbandonedAnswer(Answer):
    """An abandoned practice session: nothing is held for it any more."""

    id: str
    learning_plan_id: str | None
    status: PracticeStatus
    started_at: datetime | None
    abandoned_at: datetime | None
    subscription: PracticeSubscription

    @classmethod
    def of(cls, abandoned: AbandonedPractice) -> "AbandonedAnswer":
        session = abandoned.session
        return cls(
            id=session.id,
            learning_plan_id=session.learning_plan_id,
            status=session.status,
            started_at=session.started_at,
            abandoned_at=session.abandoned_at,
            subscription=PracticeSubscription.of(abandoned.balance),
        )


class PracticeSessionAnswer(Answer):
    """A saved practice session."""

    id: str
    learning_plan_id: str | None
    conversation_type: str | None
    duration_seconds: int | None
    summary: str | None
    status: PracticeStatus
    started_at: Annotated[datetime | None, Field(description="null: saved without having been started")]
    saved_at: datetime | None

    @classmethod
    def of(cls, session: PracticeSession) -> "PracticeSessionAnswer":
        practice = session.practice
        return cls(
            id=session.id,
            learning_plan_id=session.learning_plan_id,
            conversation_type=practice and practice.conversation_type,
            duration_seconds=practice and practice.duration_seconds,
            summary=practice and practice.summary,
            status=session.status,
            started_at=session.started_at,
            saved_at=session.saved_at,
        )


class SavedAnswer(Answer):
    """What is stored of a practice session, and where its learning plan and the subscription stand."""

    practice_session: PracticeSessionAnswer
    learning_plan: LearningPlanAnswer | None
    subscription: PracticeSubscription
    over_limit: Annotated[bool, Field(description="whether the session was booked above the limit")]

    @classmethod
    def of(cls, saved: SavedPractice) -> "SavedAnswer":
        return cls(
            practice_session=PracticeSessionAnswer.of(saved.session),
            learning_plan=saved.plan and LearningPlanAnswer.of(saved.plan),
            subscription=PracticeSubscription.of(saved.balance),
            over_limit=saved.session.over_limit,
        )


class AssessmentAnswer(Answer):
    """An assessment, and where the subscription stands."""

    id: str
    kind: str
    score: Number | None
    taken_at: datetime
    subscription: AssessmentSubscription

    @classmethod
    def of(cls, assessment: Assessment, balance: Balance) -> "AssessmentAnswer":
        return cls(
            id=assessment.id,
            kind=assessment.kind,
            score=None if assessment.score is None else decimal_number(assessment.score),
            taken_at=assessment.taken_at,
            subscription=AssessmentSubscription.of(balance),
        )


class LearningLimits(Answer):
    """Where both features stand in this billing period. Null: unlimited. A plan that does not have the feature has a limit of 0."""

    sessions_limit: Number | None
    sessions_used: Number
    sessions_remaining: Number | None
    assessments_limit: Number | None
    assessments_used: Number
    assessments_remaining: Number | None


class SubscriptionStatus(Answer):
    """A learner's plan, and what is left of it."""

    plan: str
    period: PeriodBody
    limits: LearningLimits

    @classmethod
    def of(cls, account: Account) -> "SubscriptionStatus":
        sessions = PracticeSubscription.of(account.balance(PRACTICE_SESSIONS.key))
        assessments = AssessmentSubscription.of(account.balance(ASSESSMENTS.key))
        return cls(
            plan=account.plan.key,
            period=PeriodBody.of(account.billing.period(Reset.BILLING_PERIOD, account.now)),
            limits=LearningLimits(**sessions.model_dump(exclude={"display"}), **assessments.model_dump()),
        )
