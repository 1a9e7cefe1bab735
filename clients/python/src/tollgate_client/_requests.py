"""What the asynchronous and the synchronous client share: the operations, how they are sent, and when they are sent again."""

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import TypeAdapter

from tollgate_client import errors, models

T = TypeVar("T")

Quantity = int | float | Decimal | str
"""An amount in the feature's unit. A text is an exact decimal: "0.02"."""
OnOutage = Literal["refuse", "admit"]
By = Literal["hour", "day", "week", "month", "billing_period"]
Mode = Literal["enforce", "record"]

BATCH_SIZE_MAX = 1_000
RETRIED = (502, 503, 504)
FIRST_PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 2.0
ATTEMPT_SECONDS_MAX = 10.0


class Page(models.Model, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A route of the service, and what it answers."""

    method: str
    path: str
    answer: Any
    adapter: TypeAdapter[T] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "adapter", TypeAdapter(self.answer))

    def url(self, **ids: object) -> str:
        """A slash in an id belongs to the id."""
        return self.path.format(**{name: quote(str(value), safe="") for name, value in ids.items()})


_CUSTOMER = "/api/v1/customers/{customer_id}"

CONSUME: Operation[models.Consumed] = Operation("POST", f"{_CUSTOMER}/usage", models.Consumed)
CHECK: Operation[models.Checked] = Operation("POST", f"{_CUSTOMER}/usage/check", models.Checked)
EXPLAIN: Operation[models.Explained] = Operation("POST", f"{_CUSTOMER}/usage/explain", models.Explained)
FORECAST: Operation[models.Forecast] = Operation("GET", f"{_CUSTOMER}/usage/forecast", models.Forecast)
STATUS: Operation[models.Status] = Operation("GET", f"{_CUSTOMER}/usage", models.Status)
HISTORY: Operation[models.History] = Operation("GET", f"{_CUSTOMER}/usage/history", models.History)
RECORDS: Operation[Page[models.Entry]] = Operation("GET", f"{_CUSTOMER}/usage/records", Page[models.Entry])
CORRECT: Operation[models.Correction] = Operation("POST", f"{_CUSTOMER}/usage/records/{{record_id}}/corrections", models.Correction)
BATCH: Operation[Any] = Operation("POST", "/api/v1/usage/batch", Any)
INGEST: Operation[models.Ingested] = Operation("POST", "/api/v1/events", models.Ingested)
RESERVE: Operation[models.Reservation] = Operation("POST", f"{_CUSTOMER}/reservations", models.Reservation)
RESERVATIONS: Operation[Page[models.ListedReservation]] = Operation("GET", f"{_CUSTOMER}/reservations", Page[models.ListedReservation])
RESERVATION: Operation[models.Reservation] = Operation("GET", f"{_CUSTOMER}/reservations/{{id}}", models.Reservation)
COMMIT: Operation[models.Reservation] = Operation("POST", f"{_CUSTOMER}/reservations/{{id}}/commit", models.Reservation)
RELEASE: Operation[models.Reservation] = Operation("POST", f"{_CUSTOMER}/reservations/{{id}}/release", models.Reservation)
EXTEND: Operation[models.Reservation] = Operation("POST", f"{_CUSTOMER}/reservations/{{id}}/extend", models.Reservation)
PUT_CUSTOMER: Operation[models.Customer] = Operation("PUT", _CUSTOMER, models.Customer)
CHANGE_CUSTOMER: Operation[models.Customer] = Operation("PATCH", _CUSTOMER, models.Customer)
CUSTOMER: Operation[models.Customer] = Operation("GET", _CUSTOMER, models.Customer)
DELETE_CUSTOMER: Operation[None] = Operation("DELETE", _CUSTOMER, None)
CUSTOMERS: Operation[Page[models.Customer]] = Operation("GET", "/api/v1/customers", Page[models.Customer])
REFUSALS: Operation[Page[models.Refusal]] = Operation("GET", f"{_CUSTOMER}/refusals", Page[models.Refusal])
PLAN_HISTORY: Operation[Page[models.Terms]] = Operation("GET", f"{_CUSTOMER}/plan-history", Page[models.Terms])
CALL_OFF_PLAN: Operation[None] = Operation("DELETE", f"{_CUSTOMER}/scheduled-change", None)
OVERRIDE: Operation[models.Override] = Operation("PUT", f"{_CUSTOMER}/overrides/{{feature}}", models.Override)
END_OVERRIDE: Operation[None] = Operation("DELETE", f"{_CUSTOMER}/overrides/{{feature}}", None)
PUT_ADDON: Operation[models.Addon] = Operation("PUT", f"{_CUSTOMER}/addons/{{plan_key}}", models.Addon)
END_ADDON: Operation[None] = Operation("DELETE", f"{_CUSTOMER}/addons/{{plan_key}}", None)
CREATE_PORTAL_SESSION: Operation[models.PortalSession] = Operation("POST", f"{_CUSTOMER}/portal-sessions", models.PortalSession)
END_PORTAL_SESSION: Operation[None] = Operation("DELETE", f"{_CUSTOMER}/portal-sessions/{{id}}", None)
PUT_ALERTS: Operation[models.Thresholds] = Operation("PUT", f"{_CUSTOMER}/alerts/{{feature}}", models.Thresholds)
END_ALERTS: Operation[None] = Operation("DELETE", f"{_CUSTOMER}/alerts/{{feature}}", None)
ALERTS: Operation[Page[models.Alert]] = Operation("GET", f"{_CUSTOMER}/alerts", Page[models.Alert])
EVENT_CATALOGUE: Operation[models.EventCatalogue] = Operation("GET", "/api/v1/events/catalogue", models.EventCatalogue)
ISSUE_GRANT: Operation[models.Granted] = Operation("POST", f"{_CUSTOMER}/grants", models.Granted)
GRANTS: Operation[Page[models.Grant]] = Operation("GET", f"{_CUSTOMER}/grants", Page[models.Grant])
GRANT: Operation[models.DetailedGrant] = Operation("GET", f"{_CUSTOMER}/grants/{{grant_id}}", models.DetailedGrant)
VOID_GRANT: Operation[models.Granted] = Operation("POST", f"{_CUSTOMER}/grants/{{grant_id}}/void", models.Granted)
PUT_PLAN: Operation[models.Plan] = Operation("PUT", "/api/v1/plans/{key}", models.Plan)
PLAN: Operation[models.Plan] = Operation("GET", "/api/v1/plans/{key}", models.Plan)
PLANS: Operation[Page[models.Plan]] = Operation("GET", "/api/v1/plans", Page[models.Plan])
PUT_FEATURE: Operation[models.Feature] = Operation("PUT", "/api/v1/features/{key}", models.Feature)


def base_url(given: str | None) -> str:
    """What was given, or the environment's."""
    url = given or os.environ.get("TOLLGATE_URL")
    if not url:
        raise ValueError("the service's address is missing: pass url=, or set TOLLGATE_URL")
    return url.rstrip("/")


def headers(key: str | None) -> dict[str, str]:
    """With the service key that was given, or the environment's."""
    text = key or os.environ.get("TOLLGATE_KEY")
    if not text:
        raise ValueError("a service key is missing: pass key=, or set TOLLGATE_KEY")
    return {"Authorization": f"Bearer {text}", "Accept": "application/json"}


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return uuid4().hex


def amount(value: Quantity) -> Decimal:
    """Exactly what was meant: a float is its shortest decimal text."""
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError(f"a finite quantity is expected, not {value!r}")
    return number


def amounts(usage: Mapping[str, Quantity], more: Mapping[str, Quantity], dimension: str | None = None) -> list[dict[str, Any]]:
    """The body's `usage`: features by name, as a mapping and as keywords."""
    wanted = {**usage, **more}
    if not wanted:
        raise ValueError("usage of at least one feature is expected, such as api_calls=1")
    extra = {} if dimension is None else {"dimension": dimension}
    return [{"feature": feature, "quantity": amount(quantity), **extra} for feature, quantity in wanted.items()]


def encoded(body: Any) -> bytes:
    """JSON. A number's 15 significant digits, which is what the service counts, are a double's, unharmed."""
    return json.dumps(_plain(body), separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"a time with a time zone is expected, not {value!r}")
            return value.isoformat()
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case str():
            return value
        case Sequence():
            return [_plain(item) for item in value]
    return value


class Attempts:
    """When a call is sent, sent again, and given up. It is safe to repeat every call, since each that books has an idempotency key."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = FIRST_PAUSE_SECONDS

    @property
    def seconds(self) -> float:
        """How long the next attempt may take."""
        return max(min(self._deadline - time.monotonic(), ATTEMPT_SECONDS_MAX), 0.001)

    def pause(self, retry_after: float | None) -> float | None:
        """How long to wait before the next attempt; None where the deadline would pass."""
        pause = random.uniform(self._pause / 2, self._pause) if retry_after is None else retry_after
        self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX)
        return pause if time.monotonic() + pause < self._deadline else None


def parsed(response: httpx.Response) -> Any:
    """The answer's JSON; None where it has none."""
    try:
        return json.loads(response.content, parse_float=Decimal) if response.content else None
    except ValueError:
        return None


def read(operation: Operation[T], response: httpx.Response) -> T:
    """The answer. Raises the error that it tells."""
    if response.status_code >= 400:
        raise errors.error_of(response.status_code, parsed(response), response.headers)
    try:
        return operation.adapter.validate_json(response.content or b"null")
    except ValueError as error:
        raise errors.ServiceFailed(
            f"{operation.method} {operation.path} answered what this client does not know: {error}",
            status=response.status_code,
            headers=response.headers,
        ) from error


def out_of_reach(error: Exception) -> errors.Unavailable:
    """No connection, or no answer: what was on its way may have been carried out."""
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return errors.Unavailable(f"the service is out of reach: {error or type(error).__name__}", outcome_unknown=not unsent)
