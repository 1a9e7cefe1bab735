"""Console sessions: somebody has shown a service key once, and goes on with a cookie."""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from core.access.service_keys import digest, key_id_of

LASTS: Final = timedelta(hours=12)

_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session as it is stored, without its secret, and without the key: `key_hash` is what the key is known by.

    `key_id` is None for a bootstrap key.
    """

    id: UUID
    secret_hash: bytes
    key_id: UUID | None
    key_hash: bytes
    created_at: datetime
    expires_at: datetime

    def opens(self, secret: str, at: datetime) -> bool:
        """Whether this is the session's secret, and the session is not over."""
        return hmac.compare_digest(self.secret_hash, digest(secret)) and at < self.expires_at


def begun(id: UUID, key: str, at: datetime) -> tuple[ConsoleSession, str]:
    """The session of whoever has this key, and its token, which only the browser keeps."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    session = ConsoleSession(id, digest(secret), key_id_of(key), digest(key), at, at + LASTS)
    return session, f"{id.hex}_{secret}"


def parts_of(token: str) -> tuple[UUID, str] | None:
    """The id and the secret in a token; None where it is none."""
    found = _TOKEN.fullmatch(token)
    return (UUID(found[1]), found[2]) if found else None


def form_token(token: str) -> str:
    """What a form has to bring back, so that no other site can send it in the reader's name: it cannot see the cookie."""
    return digest(f"form {token}").hex()
