"""Outages of the database: when one begins, when it ends, and of which kind it is."""

import logging
import time
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import asyncpg
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError

from infrastructure.logs.withheld import described
from infrastructure.sql.driver.errors import READ_ONLY, sqlstate

logger = logging.getLogger("tollgate")

OUTAGES: Final = Counter("tollgate_database_outages", "Times that the database went away, by kind.", ("cause",))


class Cause(StrEnum):
    """What the first failure of an outage was."""

    UNREACHABLE = "unreachable"
    """Nobody listens at the address, or no way leads there."""
    NO_ANSWER = "no_answer"
    """It is silent."""
    CONNECTION_LOST = "connection_lost"
    READ_ONLY = "read_only"
    """It has become a standby, or was told to write nothing."""
    FULL = "full"
    """Its disk, its memory, or the number of its connections."""
    CLOSED = "closed"
    """It is starting or stopping, or lets nobody in."""
    FAILING = "failing"


_BY_STATE: Final = {
    "08": Cause.CONNECTION_LOST,
    READ_ONLY: Cause.READ_ONLY,
    "25P": Cause.CONNECTION_LOST,
    "28": Cause.CLOSED,
    "3D": Cause.CLOSED,
    "53": Cause.FULL,
    "55": Cause.CLOSED,
    "57": Cause.CLOSED,
}

_STATEMENT_STOPPED: Final = "57014"
"""One statement took too long, or was cancelled by somebody: the database itself is well."""


class OutageObserver(Protocol):
    """Told once when an outage begins and once when it ends."""

    def began(self, cause: Cause, error: BaseException) -> None: ...

    def ended(self, cause: Cause, seconds: float) -> None: ...


class ToldOutages(OutageObserver):
    """Logged, and counted by kind."""

    def began(self, cause: Cause, error: BaseException) -> None:
        OUTAGES.labels(cause.value).inc()
        logger.error("The database is away (%s): %s", cause.value, described(error))

    def ended(self, cause: Cause, seconds: float) -> None:
        logger.warning("The database is back (%s), after %.1f s.", cause.value, seconds)


class _Ongoing(NamedTuple):
    cause: Cause
    since: float


class Outages:
    """A process's. An outage begins with the first failure, and ends with the first answer to a question that was asked to find out."""

    def __init__(self, observer: OutageObserver | None = None) -> None:
        self._observer = observer or ToldOutages()
        self._ongoing: _Ongoing | None = None

    @property
    def ongoing(self) -> Cause | None:
        return self._ongoing and self._ongoing.cause

    def failed(self, error: BaseException) -> None:
        """Something was answered with StorageUnavailable, for this reason."""
        if self._ongoing is None and (cause := cause_of(error)):
            self._ongoing = _Ongoing(cause, time.monotonic())
            self._observer.began(cause, error)

    def answered(self) -> None:
        """The database answers, and can be written to."""
        if self._ongoing is not None:
            ended, self._ongoing = self._ongoing, None
            self._observer.ended(ended.cause, time.monotonic() - ended.since)


def cause_of(error: BaseException) -> Cause | None:
    """None where it was only this statement that failed."""
    if isinstance(error, TimeoutError):
        return Cause.NO_ANSWER
    if isinstance(error, DBAPIError | asyncpg.PostgresError) and (state := sqlstate(error)):
        if state == _STATEMENT_STOPPED:
            return None
        return next((cause for begins, cause in _BY_STATE.items() if state.startswith(begins)), Cause.FAILING)
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError | BrokenPipeError):
        return Cause.UNREACHABLE
    return Cause.CONNECTION_LOST
