"""The root of every error that the domain raises, and the two that adapters raise in its name."""

from collections.abc import Mapping
from typing import ClassVar


class DomainError(Exception):
    """A rule said no. Subclasses carry facts as attributes; how a caller is told is decided at the edge.

    `message` is one plain sentence for the person who reads the answer.
    """

    message: str = "The request could not be carried out."

    refused_by_plan: ClassVar[bool] = False
    """Whether it is what the customer's plan allows that said no: such refusals are kept, to be asked about later."""

    def facts(self) -> Mapping[str, object]:
        """What the caller needs in order to act on the refusal, by name."""
        return {}

    def __str__(self) -> str:
        return self.message


class NotFoundError(DomainError):
    """Something that a command names does not exist, or is not the caller's to see."""

    noun: str = "resource"

    def __init__(self, identity: str) -> None:
        super().__init__(identity)
        self.identity = identity
        self.message = f"No {self.noun} {identity!r}."


class StorageUnavailable(DomainError):
    """The database or the disk did not answer, or went away before the transaction was committed: nothing was booked.

    `outcome_unknown` is true where the connection broke while the commit was on its way, so that the effect may exist.
    Repeating the request with the same idempotency key is then the way to find out.
    """

    def __init__(self, *, outcome_unknown: bool = False) -> None:
        super().__init__(outcome_unknown)
        self.outcome_unknown = outcome_unknown
        self.message = (
            "The storage went away during the commit: repeat the request with the same idempotency key."
            if outcome_unknown
            else "The storage is not available. Nothing was booked; try again shortly."
        )

    def facts(self) -> Mapping[str, object]:
        return {"outcome": "unknown"} if self.outcome_unknown else {}


class SchemaNewer(DomainError):
    """The database was upgraded for a later release than this one when the process began."""

    message = "The database's schema is newer than this release: install the release that has upgraded it."


class Overloaded(DomainError):
    """More requests are waiting than the service will queue. Nothing was booked."""

    message = "The service is overloaded. Nothing was booked; try again shortly."


class BrokenCommand(DomainError):
    """One of several commands could not be carried out for a reason that is ours, and has been logged; the others stand."""

    message = "Something went wrong on our side with this item. It has been logged, and nothing of it was booked."


class ConcurrentUpdate(Exception):
    """Another transaction got in between (deadlock, serialization failure, or the same row written first).

    Not a refusal: the transaction was rolled back, and whoever opened it should run it again.
    """
