"""Portal sessions: whoever has the address of one may look at one customer's usage, for a while."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from core.access.service_keys import digest
from core.access.session_token import new_secret, token_of
from core.errors import DomainError, NotFoundError

TTL_DEFAULT: Final = timedelta(hours=1)
TTL_MIN: Final = timedelta(minutes=1)
TTL_MAX: Final = timedelta(days=7)
ORIGINS_MAX: Final = 10


class Theme(StrEnum):
    """How the page is coloured; `auto` follows the reader's system."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class PortalSessionNotFound(NotFoundError):
    """The customer has no such session, or nobody has."""

    noun = "portal session"


class PortalSessionNotShownAgain(DomainError):
    """A request for a session was repeated. Its address is a secret, and so is not kept to be given again."""

    message = "This request has created a portal session already, and its address is shown once: create another one."


class PortalSessionEnded(DomainError):
    """The session was ended, or its time is over."""

    message = "This page has ended. Go back to where you came from, and open it again."

    def __init__(self, id: UUID) -> None:
        super().__init__(id)
        self.id = id

    def facts(self) -> Mapping[str, object]:
        return {"id": str(self.id)}


@dataclass(frozen=True, slots=True)
class PortalSession:
    """A session as it is stored, without its secret. `locale` and `theme` are what the page was asked for; None: the customer's own."""

    id: UUID
    customer_id: str
    secret_hash: bytes
    locale: str | None
    theme: Theme
    embed_origins: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    ended_at: datetime | None = None

    def opens(self, secret: str, at: datetime) -> bool:
        """Whether this is the session's secret. Raises PortalSessionEnded where it is, and the session is over."""
        if not hmac.compare_digest(self.secret_hash, digest(secret)):
            return False
        if self.ended_at is not None or at >= self.expires_at:
            raise PortalSessionEnded(self.id)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPortalSession:
    """For whom, for how long, and how the page is to look."""

    customer_id: str
    created_by: str
    ttl: timedelta = TTL_DEFAULT
    locale: str | None = None
    theme: Theme = Theme.AUTO
    embed_origins: tuple[str, ...] = ()

    def begun(self, id: UUID, at: datetime) -> tuple[PortalSession, str]:
        """The session, and its token: `<id>_<secret>`, which stands in the page's address and is nowhere stored."""
        secret = new_secret()
        session = PortalSession(
            id=id,
            customer_id=self.customer_id,
            secret_hash=digest(secret),
            locale=self.locale,
            theme=self.theme,
            embed_origins=self.embed_origins,
            created_at=at,
            created_by=self.created_by,
            expires_at=at + self.ttl,
        )
        return session, token_of(id, secret)
