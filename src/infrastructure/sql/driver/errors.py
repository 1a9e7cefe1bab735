"""How a failure of the database is told to the domain."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import ConcurrentUpdate, Overloaded, StorageUnavailable

STORAGE_ERRORS: Final = Counter(
    "tollgate_storage_errors", "What failed at the database: lost_race, unavailable, no_connection (the pool had none in time).", ("kind",)
)

_RUN_AGAIN: Final = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
}
UNIQUE_VIOLATION: Final = "23505"
LOST_RACES: Final = {
    "pk_customer",  # somebody else created the customer
    "pk_idempotency_key",  # somebody else used the key, for a command that locks other features
    "uq_usage_grant_reference",  # somebody else made a grant of that reference, of another feature
    "uq_usage_record_event",  # somebody else booked the event, as one of another feature
}
"""The unique constraints that only a lost race violates, by name. Any other violation is a mistake of ours: running it again is no help."""
READ_ONLY: Final = "25006"
_AWAY: Final = ("08", READ_ONLY, "25P", "28", "3D", "53", "55000", "57", "58", "XX")
"""SQLSTATE classes of a server that is gone, going, full or failing, or lets nobody in; 25006: it has become a read-only standby."""

_DRIVER_LOST: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
CONNECTION_LOST: Final = (SQLAlchemyError, asyncpg.PostgresError, *_DRIVER_LOST)
"""What working on a connection raises that is gone."""

_GONE: Final = ("08", READ_ONLY, "57P01", "57P02")


@contextmanager
def storage_errors(*, committing: bool = False) -> Iterator[None]:
    """Raises ConcurrentUpdate where the transaction should be run again, and StorageUnavailable where the database is away.

    Knows SQLAlchemy's errors and the driver's own. What remains is a mistake in a statement or its parameters, and is raised as it is.
    """
    try:
        yield
    except PoolTimeout as error:
        STORAGE_ERRORS.labels("no_connection").inc()
        raise Overloaded from error
    except (DBAPIError, asyncpg.PostgresError) as error:
        state = sqlstate(error)
        if state in _RUN_AGAIN or _lost_race(error) or isinstance(_cause(error), asyncpg.InvalidCachedStatementError):
            STORAGE_ERRORS.labels("lost_race").inc()
            raise ConcurrentUpdate(state) from error
        if state.startswith(_AWAY) or isinstance(error, InterfaceError) or getattr(error, "connection_invalidated", False):
            STORAGE_ERRORS.labels("unavailable").inc()
            raise StorageUnavailable(outcome_unknown=committing) from error
        raise
    except _DRIVER_LOST as error:
        if isinstance(error, ValueError):  # the driver's word for a parameter that no column takes
            raise
        STORAGE_ERRORS.labels("unavailable").inc()
        raise StorageUnavailable(outcome_unknown=committing) from error


def server_gone(error: BaseException) -> bool:
    """Whether no other connection that was made until now is of any use either: the server has ended, or has become a standby."""
    if isinstance(error, DBAPIError | asyncpg.PostgresError):
        return sqlstate(error).startswith(_GONE)
    return isinstance(error, asyncpg.InternalClientError | ConnectionError)


def sqlstate(error: DBAPIError | asyncpg.PostgresError) -> str:
    """The five-character code, or an empty text where the server sent none."""
    return str(getattr(_cause(error), "sqlstate", None) or "")


def _lost_race(error: DBAPIError | asyncpg.PostgresError) -> bool:
    return sqlstate(error) == UNIQUE_VIOLATION and getattr(_cause(error), "constraint_name", None) in LOST_RACES


def _cause(error: DBAPIError | asyncpg.PostgresError) -> BaseException | None:
    """The driver's own error."""
    if isinstance(error, DBAPIError):
        return error.orig and (error.orig.__cause__ or error.orig)
    return error
