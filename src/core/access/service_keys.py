"""Service keys: how a team's own programs say who they are."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.text import is_label

KEY_PREFIX: Final = "tg_"
NAME_LENGTH_MAX: Final = 100
BOOTSTRAP_NAME: Final = "bootstrap"
"""The name of the key that comes from the settings; no stored key may pass for it in the ledger."""

_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{32}})_[A-Za-z0-9_-]{{43}}")


class Scope(StrEnum):
    """What a service key may do. Each scope covers those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, other: "Scope") -> bool:
        return _RANK[self] >= _RANK[other]


_RANK: Final = {scope: rank for rank, scope in enumerate(Scope)}


class InvalidKeyName(DomainError):
    """A name that the ledger cannot show, or that reads like the bootstrap key."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = f"A key's name is 1–{NAME_LENGTH_MAX} printable characters, and not {BOOTSTRAP_NAME!r}."

    def facts(self) -> Mapping[str, object]:
        return {"name": self.name}


class InvalidExpiry(DomainError):
    """A key was to end before it began."""

    def __init__(self, expires_at: datetime) -> None:
        super().__init__(expires_at)
        self.expires_at = expires_at
        self.message = "A key ends in the future: expires_at has passed."

    def facts(self) -> Mapping[str, object]:
        return {"expires_at": self.expires_at}


class KeyNotShownAgain(DomainError):
    """A request to create a key was repeated. The first one created it, and nothing that is stored could show its text again."""

    message = "This request has created a key already, and a key's text is shown once: list the keys, revoke that one, and create another."


class ServiceKeyNotFound(NotFoundError):
    """There is no such key."""

    noun = "service key"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key as it is stored, without the secret. `secret_hash` is the SHA-256 of the whole key text."""

    id: UUID
    name: str | None
    scope: Scope
    secret_hash: bytes
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    def matches(self, text: str, at: datetime) -> bool:
        """Whether this is the key's text, and the key is valid then."""
        return hmac.compare_digest(self.secret_hash, digest(text)) and self.is_valid(at)

    def is_valid(self, at: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def expiring(self, at: datetime) -> "ServiceKey":
        """The key, ending then at the latest."""
        return replace(self, expires_at=at if self.expires_at is None else min(at, self.expires_at))

    def revoked(self, at: datetime) -> "ServiceKey":
        """The key, ended for good. One that was revoked before keeps its time."""
        return replace(self, revoked_at=self.revoked_at or at)


def generate(id: UUID, scope: Scope, at: datetime, name: str | None = None, expires_at: datetime | None = None) -> tuple[ServiceKey, str]:
    """A new key, and its text: `tg_<id>_<secret>`, which only its owner knows from here on.

    Raises InvalidKeyName and InvalidExpiry.
    """
    if expires_at is not None and expires_at <= at:
        raise InvalidExpiry(expires_at)
    if name is not None and (not 1 <= len(name) <= NAME_LENGTH_MAX or not is_label(name) or name == BOOTSTRAP_NAME):
        raise InvalidKeyName(name)
    text = f"{KEY_PREFIX}{id.hex}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return ServiceKey(id=id, name=name, scope=scope, secret_hash=digest(text), created_at=at, expires_at=expires_at), text


def key_id_of(text: str) -> UUID | None:
    """The id that is written into a key's text; None where this is not a key at all."""
    key = _KEY.fullmatch(text)
    return UUID(key[1]) if key else None


def digest(text: str) -> bytes:
    """What is stored and compared in place of a credential. One plain hash does: 256 random bits cannot be guessed."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
