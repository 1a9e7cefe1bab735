"""What a call may end with, one class for each family. All of them carry the service's own code and facts."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

_DECIMAL = TypeAdapter(Decimal | None)
_INSTANT = TypeAdapter(datetime | None)


class TollgateError(Exception):
    """The root of all of them.

    `status` is the HTTP status, None where there was no answer; `code` the service's error code; `detail` all facts as they were sent;
    `request_id` finds the request in the service's log.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = _seconds((headers or {}).get("retry-after"))
        self.request_id = (headers or {}).get("x-request-id")


class Refused(TollgateError):
    """The customer's plan does not allow it: the limit is reached, or the feature is not in the plan. Nothing was booked."""

    @property
    def feature(self) -> str:
        return str(self.detail.get("feature", ""))

    @property
    def plan(self) -> str:
        return str(self.detail.get("plan", ""))


class LimitExceeded(Refused):
    """A limit does not admit what was asked for. Amounts are in the feature's unit."""

    @property
    def current_usage(self) -> Decimal:
        return self._amount("current_usage") or Decimal(0)

    @property
    def held(self) -> Decimal:
        return self._amount("held") or Decimal(0)

    @property
    def requested(self) -> Decimal:
        return self._amount("requested") or Decimal(0)

    @property
    def limit(self) -> Decimal:
        return self._amount("limit") or Decimal(0)

    @property
    def remaining(self) -> Decimal:
        return self._amount("remaining") or Decimal(0)

    @property
    def resets_at(self) -> datetime | None:
        """When usage begins anew; None where it never does."""
        return _INSTANT.validate_python(self.detail.get("resets_at"))

    def _amount(self, name: str) -> Decimal | None:
        return _DECIMAL.validate_python(self.detail.get(name))


class NotInPlan(Refused):
    """The plan lacks the feature, or has it switched off."""


class NotFound(TollgateError):
    """There is no such customer, plan, reservation, … or it is not the caller's to see."""


class Conflict(TollgateError):
    """It is not in a state in which that can be done: a reservation that has ended, a key that was used for something else."""


class Invalid(TollgateError):
    """The request is not right; `detail` says what and where."""


class Denied(TollgateError):
    """The credentials are missing or wrong (401), or may not do this (403)."""


class Unavailable(TollgateError):
    """No answer within the deadline, or 503 until then.

    `outcome_unknown`: the last attempt may have been carried out. Repeat the call with the same idempotency key to find out.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.outcome_unknown = outcome_unknown


class ServiceFailed(TollgateError):
    """The service made a mistake (5xx), or answered what this client does not know."""


class Closed(TollgateError):
    """The client, the hold or the lease has ended."""


_CONFLICTS = {"idempotency_key_reused"}


def error_of(status: int, body: Any, headers: Mapping[str, str]) -> TollgateError:
    """The error that an answer tells."""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    facts = detail if isinstance(detail, Mapping) else {}
    code, message = str(facts.get("error", "")), str(facts.get("message", "")) or _listed(detail) or f"HTTP status {status}"
    if status == 503:
        return Unavailable(
            message, outcome_unknown=facts.get("outcome") == "unknown", status=status, code=code, detail=detail, headers=headers
        )
    return _family(status, code, facts)(message, status=status, code=code, detail=detail, headers=headers)


def _family(status: int, code: str, facts: Mapping[str, Any]) -> type[TollgateError]:
    if {"current_usage", "limit"} <= facts.keys():
        return LimitExceeded
    if code == "feature_not_in_plan":
        return NotInPlan
    if status in (401, 403):
        return Denied
    if status == 404:
        return NotFound
    if status == 409 or code in _CONFLICTS:
        return Conflict
    return Invalid if 400 <= status < 500 else ServiceFailed


def _listed(detail: Any) -> str:
    """FastAPI's own form of mistakes: where, and what."""
    if not isinstance(detail, list):
        return ""
    return "; ".join(f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}" for item in detail if isinstance(item, Mapping))


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(float(text), 0.0)
    except ValueError:
        return None
