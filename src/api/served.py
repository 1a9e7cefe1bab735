"""A request as it is being served: what is noted of it on its way, for its line in the log and for what is measured."""

import time
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Final

NO_ROUTE: Final = "none"
UNREAD: Final = "other"
"""The method of what was refused before it could be read."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OUTCOMES: Final = {404: "not_found", 405: "method_not_allowed"}


class Served:
    """One request. `route` is the template of its path and never the path itself, so that there are few of them."""

    __slots__ = ("_began", "customer", "ended", "method", "operation", "outcome", "request_id", "route", "seconds", "status")

    def __init__(self, request_id: str, method: str) -> None:
        self.request_id = request_id
        self.method = method if method in _METHODS else UNREAD
        self.route = NO_ROUTE
        self.operation = NO_ROUTE
        self.customer: str | None = None
        self.status = 0
        """0: the caller went away before it was answered."""
        self.outcome: str | None = None
        self.seconds = self.ended = 0.0
        """How long it took; and when it was answered, in seconds since 1970."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """It has been answered."""
        self.seconds = time.perf_counter() - self._began
        self.ended = time.time()
        if self.outcome is None:
            self.outcome = _outcome_of(self.status)


_SERVED: ContextVar[Served | None] = ContextVar("served", default=None)


def begin(served: Served) -> None:
    """From now on, this task serves the request."""
    _SERVED.set(served)


def request_id() -> str | None:
    """Of the request that is being served here; None in what goes on beside requests, or for several of them."""
    served = _SERVED.get()
    return served.request_id if served else None


def answered_with() -> int:
    """The status with which the request that is served here has been answered; 0: it has not."""
    served = _SERVED.get()
    return served.status if served else 0


def note_customer(customer_id: str) -> None:
    """Whom the request is about, once the caller may know."""
    if served := _SERVED.get():
        served.customer = customer_id


def note_outcome(outcome: str) -> None:
    """What became of it, in a word: the code of the refusal, or that it is a repeat."""
    if served := _SERVED.get():
        served.outcome = outcome


def note_refusal(content: Any) -> None:
    """As `note_outcome`, by the body that tells the refusal."""
    detail = content.get("detail") if isinstance(content, dict) else None
    note_outcome(detail["error"] if isinstance(detail, dict) and "error" in detail else "invalid_request")


def _outcome_of(status: int) -> str:
    if not status:
        return "caller_left"
    if status < HTTPStatus.BAD_REQUEST:
        return "ok"
    return _OUTCOMES.get(status, "internal_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused")
