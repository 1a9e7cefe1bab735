"""/api/v1/sessions: coaching sessions."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from pydantic import Field

from api.dependencies import ProductReader, ProductReporter, ProductWriter, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page_of
from api.replies import Reply
from api.v1.bodies import PROSE_BYTES_MAX
from api.wire import Answer, Cursor, FinishedProse, Label, Limit, Page, Seconds, Wire, identified
from core.sessions.complete_session import CompleteSessionCommand
from core.sessions.confirm_upload import ConfirmUploadCommand
from core.sessions.create_session import CreateSessionCommand
from core.sessions.fail_session import FailSessionCommand
from core.sessions.request_upload import RequestUploadCommand
from core.sessions.session import Session, SessionKey, SessionNotFound, SessionStatus, SttProvider
from core.sessions.uploads import UploadTarget

PRODUCT: Final = "sessions"

router = APIRouter(prefix="/api/v1/sessions", tags=["coaching sessions"], route_class=FrameRoute)

FILE_SIZE_BYTES_MAX = 1_000_000_000_000

SessionId = Annotated[UUID, Path(description="the session's id"), identified(SessionNotFound)]


class NewSession(Wire):
    """A session to create."""

    title: Annotated[Label, Field(examples=["Weekly coaching"])]
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35, examples=["en-US"])]
    stt_provider: SttProvider = SttProvider.AUTO


class NewUpload(Wire):
    """The file that is going to be uploaded."""

    filename: Annotated[Label, Field(description="for people to read; the file is not stored under this name", examples=["monday.m4a"])]
    content_type: Annotated[str, Field(pattern=r"^[!-~]+/[!-~]([ -~]*[!-~])?$", max_length=127, examples=["audio/mp4"])]
    size_bytes: Annotated[int, Field(ge=1, le=FILE_SIZE_BYTES_MAX, strict=True)]


class Completion(Wire):
    """What was transcribed."""

    duration_seconds: Annotated[Seconds, Field(examples=[1830])]


class Failure(Wire):
    """Why the session could not be transcribed, and whether it is to count all the same."""

    reason: FinishedProse
    give_back: Annotated[
        bool, Field(strict=True, description="true: the session's unit is given back, by a correction with the reason")
    ] = False


class SessionAnswer(Answer):
    """A coaching session."""

    id: UUID
    title: str
    language: str
    stt_provider: SttProvider
    status: SessionStatus
    duration_seconds: int | None
    failure_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, session: Session) -> "SessionAnswer":
        return cls(
            id=session.id,
            title=session.title,
            language=session.language,
            stt_provider=session.stt_provider,
            status=session.status,
            duration_seconds=session.duration_seconds,
            failure_reason=session.failure_reason,
            created_at=session.created_at,
        )


class UploadAnswer(Answer):
    """Where and how to send the bytes."""

    upload_url: str
    method: str
    headers: dict[str, str]
    expires_at: datetime
    max_size_bytes: int


def _created(session: Session) -> Reply:
    return Reply.of(SessionAnswer.of(session), 201, location=f"/api/v1/sessions/{session.id}")


def _changed(session: Session) -> Reply:
    return Reply.of(SessionAnswer.of(session))


def _target(target: UploadTarget) -> Reply:
    grant = target.grant
    answer = UploadAnswer(
        upload_url=target.url,
        method=target.method,
        headers=dict(target.headers),
        expires_at=grant.expires_at,
        max_size_bytes=grant.max_size_bytes,
    )
    return Reply.of(answer)


@router.post(
    "",
    status_code=201,
    response_model=SessionAnswer,
    responses=refusals("session_limit_exceeded", "transcription_limit_exceeded", "feature_not_in_plan"),
)
@carried_out(by=lambda container: container.create_session(), answered=_created)
def create_session(body: NewSession, caller: ProductWriter) -> CreateSessionCommand:
    """Create a coaching session and book one of the plan's sessions for it.

    Refused where the plan has no session left in this billing period, or no minutes to transcribe it with.
    """
    return CreateSessionCommand(
        customer_id=caller.customer_id, title=body.title, language=body.language, stt_provider=body.stt_provider, recorded_by=caller.name
    )


@router.get("")
async def list_sessions(request: Request, caller: ProductReader, limit: Limit = 50, cursor: Cursor = None) -> Page[SessionAnswer]:
    """The customer's sessions, newest first."""
    found = await page_of(container_of(request).session_reader(), caller.customer_id, limit, cursor)
    return found.each(SessionAnswer.of)


@router.get("/{id}", responses=refusals("session_not_found"))
async def get_session(request: Request, id: SessionId, caller: ProductReader) -> SessionAnswer:
    """One session. Another customer's answers 404."""
    container = container_of(request)
    return SessionAnswer.of(await container.session_reader().get(SessionKey(caller.customer_id, id)))


@router.post(
    "/{id}/upload-url",
    response_model=UploadAnswer,
    responses=refusals("session_not_found", "invalid_session_state", "file_size_exceeded", "unsupported_media_type", "feature_not_in_plan"),
)
@carried_out(by=lambda container: container.request_upload(), answered=_target)
def request_upload(id: SessionId, body: NewUpload, caller: ProductWriter) -> RequestUploadCommand:
    """A signed URL for one file of this type and at most this size, valid for 15 minutes."""
    return RequestUploadCommand(customer_id=caller.customer_id, session_id=id, content_type=body.content_type, size_bytes=body.size_bytes)


@router.post(
    "/{id}/confirm-upload",
    response_model=SessionAnswer,
    responses=refusals("session_not_found", "upload_missing", "invalid_session_state"),
)
@carried_out(by=lambda container: container.confirm_upload(), answered=_changed)
def confirm_upload(id: SessionId, caller: ProductWriter) -> ConfirmUploadCommand:
    """The upload is done: the session waits for its transcription. Confirming again changes nothing."""
    return ConfirmUploadCommand(caller.customer_id, id)


@router.post(
    "/{id}/complete",
    response_model=SessionAnswer,
    responses=refusals("session_not_found", "invalid_session_state"),
)
@carried_out(by=lambda container: container.complete_session(), answered=_changed)
def complete_session(id: SessionId, body: Completion, caller: ProductReporter) -> CompleteSessionCommand:
    """Complete a session and book its duration, to the second, once; minutes above the limit are booked as overage."""
    return CompleteSessionCommand(
        customer_id=caller.customer_id, session_id=id, duration_seconds=body.duration_seconds, recorded_by=caller.name
    )


@router.post(
    "/{id}/fail",
    max_body_size=PROSE_BYTES_MAX,
    response_model=SessionAnswer,
    responses=refusals("session_not_found", "invalid_session_state"),
)
@carried_out(by=lambda container: container.fail_session(), answered=_changed)
def fail_session(id: SessionId, body: Failure, caller: ProductReporter) -> FailSessionCommand:
    """Mark a session as failed. No minutes are booked. The session stays counted, since it was created, unless `give_back` is true.

    It is given back once: where it has been already, by whomever, nothing changes.
    """
    return FailSessionCommand(
        customer_id=caller.customer_id, session_id=id, reason=body.reason, recorded_by=caller.name, give_back=body.give_back
    )
