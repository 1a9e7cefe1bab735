"""Console sessions: somebody has shown a service key once, and goes on with a cookie."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from core.access.service_keys import digest, key_id_of
from core.access.session_token import new_secret, token_of

LASTS: Final = timedelta(hours=12)


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
    secret = new_secret()
    session = ConsoleSession(id, digest(secret), key_id_of(key), digest(key), at, at + LASTS)
    return session, token_of(id, secret)


def form_token(token: str) -> str:
    """What a form has to bring back, so that no other site can send it in the reader's name: it cannot see the cookie."""
    return digest(f"form {token}").hex()
