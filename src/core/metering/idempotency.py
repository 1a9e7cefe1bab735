"""Once per key: a command's effect and the reply to it are stored together, and a repeat gets the stored reply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from core.errors import DomainError

KEPT_FOR: Final = timedelta(days=30)
"""How long a key is remembered at least."""


class IdempotencyKeyReused(DomainError):
    """The key was used before, for different input."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
        self.message = f"The idempotency key {key!r} was used before with different input: use a new key for a new request."

    def facts(self) -> Mapping[str, object]:
        return {"idempotency_key": self.key}


class Once(NamedTuple):
    """A caller's key, the fingerprint of what it stands for, and how the result is written down for a repeat."""

    key: str
    fingerprint: bytes
    encode: Callable[[Any], bytes]


class ReplyKey(NamedTuple):
    """A customer's own key: two customers may use the same one."""

    customer_id: str
    key: str


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What was answered under a key."""

    customer_id: str
    key: str
    fingerprint: bytes
    reply: bytes
    answered_at: datetime

    def replayed(self, once: Once) -> "Replay":
        """The answer to a repeat. Raises IdempotencyKeyReused where the input is not the same."""
        if self.fingerprint != once.fingerprint:
            raise IdempotencyKeyReused(once.key)
        return Replay(self.reply)


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a repeated command: nothing happened, this was the answer."""

    reply: bytes
