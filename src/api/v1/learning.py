"""/api/v1/learning-plans, /practice-sessions, /assessments and /subscription-status: practice, held to a plan."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.dependencies import ProductReader, ProductWriter, container_of
from api.docs import refusals
from api.replies import Reply, reply
from api.v1.learning_bodies import (
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
from core.learning.create_learning_plan import CreateLearningPlanCommand
from core.learning.features import ASSESSMENTS, PRACTICE_SESSIONS
from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearnerKey
from core.learning.practice_session import Practice
from core.learning.save_practice_session import SavedPractice, SavePracticeSessionCommand
from core.learning.start_practice_session import StartedPractice, StartPracticeSessionCommand
from core.learning.take_assessment import TakeAssessmentCommand, TakenAssessment

router = APIRouter(prefix="/api/v1", tags=["learning plans"])


def _created(plan: LearningPlan) -> Reply:
    return Reply.of(LearningPlanAnswer.of(plan), 201, location=f"/api/v1/learning-plans/{plan.id}")


def _started(started: StartedPractice) -> Reply:
    return Reply.of(StartedAnswer.of(started), 201 if started.is_new else 200)


def _saved(saved: SavedPractice) -> Reply:
    return Reply.of(SavedAnswer.of(saved), 201 if saved.is_new else 200)


def _taken(taken: TakenAssessment) -> Reply:
    return Reply.of(AssessmentAnswer.of(taken.assessment, taken.balance), 201 if taken.is_new else 200)


@router.post(
    "/learning-plans",
    status_code=201,
    response_model=LearningPlanAnswer,
    responses=refusals("customer_not_found", "idempotency_key_reused"),
)
async def create_learning_plan(request: Request, body: NewLearningPlan, caller: ProductWriter) -> Response:
    """Create a learning plan. It books nothing: the practice sessions do, when they are saved."""
    container = container_of(request)
    command = CreateLearningPlanCommand(
        customer_id=caller.customer_id,
        language=body.language,
        level=body.level,
        total_sessions=body.total_sessions,
        sessions_per_week=body.sessions_per_week,
    )
    return await reply(request, container.create_learning_plan(), command, _created, body)


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
            "customer_not_found",
            "learning_plan_not_found",
            "practice_session_conflict",
            "idempotency_key_reused",
        ),
    },
)
async def start_practice_session(request: Request, body: PracticeStart, caller: ProductWriter) -> Response:
    """Start a practice session and hold one of the plan's sessions for it. Refused where none is left in this billing period.

    A start that is abandoned gives the session back after three hours. What was practised can be saved even then.
    """
    container = container_of(request)
    command = StartPracticeSessionCommand(caller.customer_id, body.id, body.learning_plan_id)
    return await reply(request, container.start_practice_session(), command, _started, body)


@router.post(
    "/practice-sessions/save",
    status_code=201,
    response_model=SavedAnswer,
    responses={
        200: {"model": SavedAnswer, "description": "It was saved before: this is what is stored."},
        **refusals("customer_not_found", "learning_plan_not_found", "practice_session_conflict", "idempotency_key_reused"),
    },
)
async def save_practice_session(request: Request, body: FinishedPractice, caller: ProductWriter) -> Response:
    """Save a finished practice session, started before or not, and book one of the plan's sessions for it: once, and always.

    It is never refused for a limit: above it, the session is booked as overage. Saving the same id again changes nothing and is answered
    with what is stored; other content under the same id is a conflict.
    """
    container = container_of(request)
    practice = Practice(body.duration_seconds, body.conversation_type, body.summary)
    command = SavePracticeSessionCommand(
        customer_id=caller.customer_id, practice=practice, recorded_by=caller.name, id=body.id, learning_plan_id=body.learning_plan_id
    )
    return await reply(request, container.save_practice_session(), command, _saved, body)


@router.post(
    "/assessments",
    status_code=201,
    response_model=AssessmentAnswer,
    responses={
        200: {"model": AssessmentAnswer, "description": "It was taken before: this is what is stored."},
        **refusals(
            "assessment_limit_exceeded", "feature_not_in_plan", "customer_not_found", "assessment_conflict", "idempotency_key_reused"
        ),
    },
)
async def take_assessment(request: Request, body: NewAssessment, caller: ProductWriter) -> Response:
    """Take an assessment and book one of the plan's assessments for it. Refused where none is left in this billing period."""
    container = container_of(request)
    command = TakeAssessmentCommand(customer_id=caller.customer_id, kind=body.kind, score=body.score, recorded_by=caller.name, id=body.id)
    return await reply(request, container.take_assessment(), command, _taken, body)


@router.get("/subscription-status", responses=refusals("customer_not_found"))
async def get_subscription_status(request: Request, caller: ProductReader) -> SubscriptionStatus:
    """What is left of the customer's practice sessions and assessments, at this moment."""
    container = container_of(request)
    features = (PRACTICE_SESSIONS.key, ASSESSMENTS.key)
    return SubscriptionStatus.of(await container.account_reader().read(caller.customer_id, features, container.clock()()))
