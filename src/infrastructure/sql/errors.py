"""How a failure of the database is told to the domain."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import ConcurrentUpdate, Overloaded, StorageUnavailable

_RUN_AGAIN: Final = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: the row was written first by somebody else
    "55P03",  # lock_not_available
}
_AWAY: Final = ("08", "57P", "53", "58", "XX", "25006")
"""SQLSTATE classes of a server that is gone, going, full or failing; 25006: it has become a read-only standby."""


@contextmanager
def storage_errors(*, committing: bool = False) -> Iterator[None]:
    """Raises ConcurrentUpdate where the transaction should be run again, and StorageUnavailable where the database is away.

    What remains is a mistake in a statement or its parameters, and is raised as it is.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Overloaded from error
    except DBAPIError as error:
        state = sqlstate(error)
        if state in _RUN_AGAIN:
            raise ConcurrentUpdate(state) from error
        if state.startswith(_AWAY) or error.connection_invalidated or isinstance(error, InterfaceError):
            raise StorageUnavailable(outcome_unknown=committing) from error
        raise
    except (OSError, TimeoutError) as error:
        raise StorageUnavailable(outcome_unknown=committing) from error


def sqlstate(error: DBAPIError) -> str:
    """The five-character code, or an empty text where the server sent none."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def constraint_name(error: DBAPIError) -> str | None:
    """The violated constraint, by name."""
    cause = error.orig.__cause__ if error.orig else None
    return getattr(cause, "constraint_name", None)
