"""Errors as they may stand in a log: what kind, and where. Messages may carry what callers sent, and are left out."""

import traceback
from collections.abc import Iterator
from typing import Final

_OUTSPOKEN: Final = frozenset(
    {TypeError, AttributeError, NameError, UnboundLocalError, ImportError, ModuleNotFoundError, NotImplementedError, RecursionError}
)
"""Python's own words about code, not about what it worked on."""

_CAUSED: Final = "The above exception was the direct cause of the following exception:"
_MEANWHILE: Final = "During handling of the above exception, another exception occurred:"


def described(error: BaseException) -> str:
    """The error's kind; of PostgreSQL's also the SQLSTATE and the constraint, of the system's its own words."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    about = ", ".join(_about(error))
    return f"{name} ({about})" if about else name


def _about(error: BaseException) -> Iterator[str]:
    origin = getattr(error, "orig", None)  # SQLAlchemy wraps the driver's errors, and repeats the statement and its parameters
    source = getattr(origin, "__cause__", None) or origin or error
    if state := getattr(source, "sqlstate", None):
        yield f"SQLSTATE {state}"
        if constraint := getattr(source, "constraint_name", None):
            yield f"constraint {constraint}"
    elif isinstance(error, OSError) and type(error).__module__ in ("builtins", "socket", "ssl"):
        if text := error.strerror or ("" if error.filename else str(error)):
            yield text
    elif type(error) in _OUTSPOKEN:
        yield str(error)


def traced(error: BaseException) -> str:
    """As Python writes a traceback, causes first, with `described` in place of messages."""
    return "\n".join(_lines(error, set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield from ("", _CAUSED if error.__cause__ else _MEANWHILE, "")
    yield "Traceback (most recent call last):"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    yield described(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in seen:
                yield from (f"  | {line}" for line in _lines(one, seen))
