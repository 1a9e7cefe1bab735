"""Upload URLs that carry their grant with them, signed."""

import hmac
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import jwt

from core.sessions.uploads import InvalidUploadUrl, UploadGrant, UploadTarget, UploadUrlExpired

_ALGORITHM: Final = "HS256"
_KEY_PURPOSE: Final = b"tollgate upload URLs, version 1"
"""A change of the claims changes the version too: URLs that were given out before are then refused, and not misread."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]+")  # PyJWT itself ignores padding at the end


class SignedUploadUrls:
    """Makes upload URLs, and reads the tokens in them: JSON Web Tokens under a key that is used for nothing else.

    The key is derived from the secret, so that no upload token is accepted as a user token, or the other way round, even where both
    kinds come from the same secret. Nor does a signature over a user token ever equal the key: what is signed there has no spaces.
    """

    def __init__(self, secret: bytes, public_url: str) -> None:
        if not secret:
            raise ValueError("Upload URLs are signed with a secret, and it is empty: anybody could forge them.")
        self._key = hmac.digest(secret, _KEY_PURPOSE, "sha256")
        self._url = f"{public_url.rstrip('/')}/api/v1/uploads/"

    def target(self, grant: UploadGrant) -> UploadTarget:
        """Where the caller sends the content, and with which header."""
        token = jwt.encode(_to_claims(grant), self._key, _ALGORITHM)
        return UploadTarget(url=self._url + token, method="PUT", headers={"Content-Type": grant.content_type}, grant=grant)

    def grant(self, token: str, content_type: str | None, now: datetime) -> UploadGrant:
        """What the token grants. Raises InvalidUploadUrl, also where the content is of another type, and UploadUrlExpired."""
        if not _TOKEN.fullmatch(token):
            raise InvalidUploadUrl
        try:
            claims = jwt.decode(token, self._key, [_ALGORITHM])
        except jwt.InvalidTokenError as error:
            raise InvalidUploadUrl from error
        grant = _to_grant(claims)
        if now >= grant.expires_at:
            raise UploadUrlExpired
        if content_type is None or content_type.lower() != grant.content_type.lower():
            raise InvalidUploadUrl
        return grant


def _to_claims(grant: UploadGrant) -> dict[str, Any]:
    """The expiry is not called `exp`: PyJWT would compare that with a clock of its own, in whole seconds."""
    return {
        "sub": grant.customer_id,
        "session": grant.session_id.hex,
        "type": grant.content_type,
        "bytes": grant.max_size_bytes,
        "megabytes": str(grant.max_file_size_mb),
        "until": grant.expires_at.isoformat(),
    }


def _to_grant(claims: dict[str, Any]) -> UploadGrant:
    return UploadGrant(
        customer_id=claims["sub"],
        session_id=UUID(claims["session"]),
        content_type=claims["type"],
        max_size_bytes=claims["bytes"],
        max_file_size_mb=Decimal(claims["megabytes"]),
        expires_at=datetime.fromisoformat(claims["until"]),
    )
