"""What opens a session of a page: an id to find it by, and a secret that only its reader keeps."""

import re
import secrets
from typing import Final
from uuid import UUID

_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def new_secret() -> str:
    """256 random bits, as text that may stand in an address and in a cookie."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def token_of(id: UUID, secret: str) -> str:
    """`<id>_<secret>`."""
    return f"{id.hex}_{secret}"


def parts_of(token: str) -> tuple[UUID, str] | None:
    """The id and the secret in a token; None where it is none."""
    found = _TOKEN.fullmatch(token)
    return (UUID(found[1]), found[2]) if found else None
