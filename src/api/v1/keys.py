"""/api/v1/keys: the service keys of a team's own programs."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from api.dependencies import admin, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.replies import Reply, fingerprint, idempotency_key, understood
from api.wire import Answer, Instant, Wire, identified
from core.access.create_key import CreatedKey, CreateKeyCommand
from core.access.principal import Principal
from core.access.rotate_key import GRACE_DEFAULT, GRACE_MAX, RotateKeyCommand
from core.access.service_keys import NAME_LENGTH_MAX, KeyNotShownAgain, Scope, ServiceKey, ServiceKeyNotFound

router = APIRouter(prefix="/api/v1", tags=["keys"], route_class=FrameRoute)

Administrator = Annotated[Principal, Depends(admin)]

KeyId = Annotated[UUID, Path(description="a service key's id"), identified(ServiceKeyNotFound)]


class NewKey(Wire):
    """A key to create."""

    scope: Annotated[Scope, Field(description="read; write: and book usage; admin: and customers, plans, keys")]
    name: Annotated[str | None, Field(min_length=1, max_length=NAME_LENGTH_MAX, description="who uses it; shown in the ledger")] = None
    expires_at: Annotated[Instant | None, Field(description="when it ends by itself; null: never")] = None


class Rotation(Wire):
    """How a key is replaced."""

    grace_seconds: Annotated[
        int, Field(ge=0, le=int(GRACE_MAX.total_seconds()), strict=True, description="how long the old key goes on working")
    ] = int(GRACE_DEFAULT.total_seconds())


class KeyAnswer(Answer):
    """A key, without its secret."""

    id: UUID
    name: str | None
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="to the minute; null: never, or within the last minute")]
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ServiceKey) -> "KeyAnswer":
        return cls(
            id=key.id,
            name=key.name,
            scope=key.scope,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class CreatedKeyAnswer(KeyAnswer):
    """A key with its text, this once."""

    key: Annotated[str, Field(description="keep it: it is not shown again")]

    @classmethod
    def created(cls, created: CreatedKey) -> "CreatedKeyAnswer":
        return cls(**KeyAnswer.of(created.key).model_dump(), key=created.text)


class KeysAnswer(Answer):
    """All keys; there are few."""

    items: list[KeyAnswer]
    next_cursor: None = None


@router.post(
    "/keys",
    status_code=201,
    response_model=CreatedKeyAnswer,
    responses=refusals("invalid_key_name", "invalid_expiry", "key_not_shown_again"),
)
async def create_key(request: Request, body: NewKey, who: Administrator) -> Reply:
    """Create a service key. Its text is answered once, and stored hashed: a repeat with the same Idempotency-Key is refused."""
    await _require_first(request, body, who)
    command = CreateKeyCommand(scope=body.scope, name=body.name, expires_at=body.expires_at)
    return Reply.of(CreatedKeyAnswer.created(await container_of(request).create_key().execute(command)), 201)


@router.get("/keys", response_model=KeysAnswer)
async def list_keys(request: Request, who: Administrator) -> KeysAnswer:
    """All keys, oldest first, revoked and expired ones included."""
    return KeysAnswer(items=[KeyAnswer.of(key) for key in await container_of(request).service_keys().all()])


@router.post(
    "/keys/{id}/rotate",
    status_code=201,
    response_model=CreatedKeyAnswer,
    responses=refusals("service_key_not_found", "key_not_shown_again"),
)
async def rotate_key(request: Request, id: KeyId, body: Rotation, who: Administrator) -> Reply:
    """Create a key with this one's name and scope; this one ends after the grace."""
    await _require_first(request, body, who)
    command = RotateKeyCommand(id=id, grace=timedelta(seconds=body.grace_seconds))
    return Reply.of(CreatedKeyAnswer.created(await container_of(request).rotate_key().execute(command)), 201)


@router.delete("/keys/{id}", status_code=204, responses=refusals("service_key_not_found"))
async def revoke_key(request: Request, id: KeyId, who: Administrator) -> None:
    """Revoke a key: it is refused from now on. Again: the same."""
    await container_of(request).revoke_key().execute(id)


async def _require_first(request: Request, body: Wire, who: Principal) -> None:
    """Raises KeyNotShownAgain for a repeat: the answer is a secret, and so is not kept to be given again."""
    key = idempotency_key(request)
    if key is not None and not await container_of(request).answer_once().claim(who.identity, key, fingerprint(request, understood(body))):
        raise KeyNotShownAgain
