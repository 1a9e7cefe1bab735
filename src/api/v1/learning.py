"""/api/v1/learning-plans, /practice-sessions, /assessments and /subscription-status: practice, held to a plan."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request

from api.dependencies import ProductReader, ProductWriter, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.replies import Reply
from api.v1.bodies import PROSE_BYTES_MAX
from api.v1.learning_bodies import (
    AbandonedAnswer,
    AssessmentAnswer,
    FinishedPractice,
    LearningPlanAnswer,
    NewAssessment,
    NewLearningPlan,
    PracticeStart,
    SavedAnswer,
    StartedAnswer,
    SubscriptionStatus,
)
from api.wire import Id
from core.learning.abandon_practice_session import AbandonedPractice, AbandonPracticeSessionCommand
from core.learning.create_learning_plan import CreateLearningPlanCommand
from core.learning.features import ASSESSMENTS, PRACTICE_SESSIONS
from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearnerKey
from core.learning.practice_session import Practice
from core.learning.save_practice_session import SavedPractice, SavePracticeSessionCommand
from core.learning.start_practice_session import StartedPractice, StartPracticeSessionCommand
from core.learning.take_assessment import TakeAssessmentCommand, TakenAssessment

PRODUCT: Final = "learning"

router = APIRouter(prefix="/api/v1", tags=["learning plans"], route_class=FrameRoute)


def _created(plan: LearningPlan) -> Reply:
    return Reply.of(LearningPlanAnswer.of(plan), 201, location=f"/api/v1/learning-plans/{plan.id}")


def _started(started: StartedPractice) -> Reply:
    return Reply.of(StartedAnswer.of(started), 201 if started.is_new else 200)


def _abandoned(abandoned: AbandonedPractice) -> Reply:
    return Reply.of(AbandonedAnswer.of(abandoned))


def _saved(saved: SavedPractice) -> Reply:
    return Reply.of(SavedAnswer.of(saved), 201 if saved.is_new else 200)


def _taken(taken: TakenAssessment) -> Reply:
    return Reply.of(AssessmentAnswer.of(taken.assessment, taken.balance), 201 if taken.is_new else 200)


@router.post(
    "/learning-plans",
    status_code=201,
    response_model=LearningPlanAnswer,
)
@carried_out(by=lambda container: container.create_learning_plan(), answered=_created)
def create_learning_plan(body: NewLearningPlan, caller: ProductWriter) -> CreateLearningPlanCommand:
    """Create a learning plan. It books nothing: the practice sessions do, when they are saved."""
    return CreateLearningPlanCommand(
        customer_id=caller.customer_id,
        language=body.language,
        level=body.level,
        total_sessions=body.total_sessions,
        sessions_per_week=body.sessions_per_week,
    )


@router.get("/learning-plans/{id}", responses=refusals("learning_plan_not_found"))
async def get_learning_plan(
    request: Request, id: Annotated[Id, Path(description="the learning plan's id")], caller: ProductReader
) -> LearningPlanAnswer:
    """A learning plan and how far it has come. Another customer's answers 404."""
    container = container_of(request)
    return LearningPlanAnswer.of(await container.learning_plan_reader().get(LearnerKey(caller.customer_id, id)))


@router.post(
    "/practice-sessions/start",
    status_code=201,
    response_model=StartedAnswer,
    responses={
        200: {"model": StartedAnswer, "description": "It was started before, and is still held."},
        **refusals(
            "practice_session_limit_exceeded",
            "feature_not_in_plan",
            "learning_plan_not_found",
            "practice_session_conflict",
        ),
    },
)
@carried_out(by=lambda container: container.start_practice_session(), answered=_started)
def start_practice_session(body: PracticeStart, caller: ProductWriter) -> StartPracticeSessionCommand:
    """Start a practice session and hold one of the plan's sessions for it. Refused where none is left in this billing period.

    A start that is neither saved nor abandoned gives the session back after three hours. What was practised can be saved even then.
    """
    return StartPracticeSessionCommand(caller.customer_id, body.id, body.learning_plan_id)


@router.post(
    "/practice-sessions/{id}/abandon",
    response_model=AbandonedAnswer,
    responses=refusals("practice_session_not_found", "practice_session_conflict"),
)
@carried_out(by=lambda container: container.abandon_practice_session(), answered=_abandoned)
def abandon_practice_session(
    id: Annotated[Id, Path(description="the practice session's id")], caller: ProductWriter
) -> AbandonPracticeSessionCommand:
    """Give a started practice session up: what is held for it is given back at once. Abandoning it again changes nothing.

    It can be started anew, and what was practised can be saved after all. One that has been saved cannot be abandoned.
    """
    return AbandonPracticeSessionCommand(caller.customer_id, id)


@router.post(
    "/practice-sessions/save",
    max_body_size=PROSE_BYTES_MAX,
    status_code=201,
    response_model=SavedAnswer,
    responses={
        200: {"model": SavedAnswer, "description": "It was saved before: this is what is stored."},
        **refusals("learning_plan_not_found", "practice_session_conflict"),
    },
)
@carried_out(by=lambda container: container.save_practice_session(), answered=_saved)
def save_practice_session(body: FinishedPractice, caller: ProductWriter) -> SavePracticeSessionCommand:
    """Save a finished practice session, started before or not, and book one of the plan's sessions for it: once, and always.

    It is never refused for a limit: above it, the session is booked as overage. Saving the same id again changes nothing and is answered
    with what is stored; other content under the same id is a conflict.
    """
    practice = Practice(body.duration_seconds, body.conversation_type, body.summary)
    return SavePracticeSessionCommand(
        customer_id=caller.customer_id, practice=practice, recorded_by=caller.name, id=body.id, learning_plan_id=body.learning_plan_id
    )


@router.post(
    "/assessments",
    status_code=201,
    response_model=AssessmentAnswer,
    responses={
        200: {"model": AssessmentAnswer, "description": "It was taken before: this is what is stored."},
        **refusals("assessment_limit_exceeded", "feature_not_in_plan", "assessment_conflict"),
    },
)
@carried_out(by=lambda container: container.take_assessment(), answered=_taken)
def take_assessment(body: NewAssessment, caller: ProductWriter) -> TakeAssessmentCommand:
    """Take an assessment and book one of the plan's assessments for it. Refused where none is left in this billing period."""
    return TakeAssessmentCommand(customer_id=caller.customer_id, kind=body.kind, score=body.score, recorded_by=caller.name, id=body.id)


@router.get("/subscription-status")
async def get_subscription_status(request: Request, caller: ProductReader) -> SubscriptionStatus:
    """What is left of the customer's practice sessions and assessments, at this moment."""
    container = container_of(request)
    features = (PRACTICE_SESSIONS.key, ASSESSMENTS.key)
    return SubscriptionStatus.of(await container.account_reader().read(caller.customer_id, features, container.clock()()))
