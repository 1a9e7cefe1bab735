"""The client: one connection pool to one service."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import httpx

from tollgate_client import _requests as requests
from tollgate_client import errors, models
from tollgate_client._requests import By, Mode, OnOutage, Operation, Quantity
from tollgate_client._sync.batching import Batching
from tollgate_client._sync.holds import Hold
from tollgate_client._sync.leases import Lease
from tollgate_client._sync.outage import Outage
from tollgate_client._sync.primitives import Beside, sleep

T = TypeVar("T")


class Tollgate:
    """Calls the service. Make one for a process, and share it: it keeps connections open.

    - `url` and `key` default to the environment's TOLLGATE_URL and TOLLGATE_KEY.
    - `timeout`: seconds that a whole call may take, repeats included.
    - `batching`: concurrent calls of `consume` share requests.
    - `on_outage`: what `consume` does when the service stays out of reach: "refuse" raises Unavailable; "admit" goes on, as far as the
      last known balance reaches, and books the usage once the service is back. It is kept in memory: what is not booked when the process
      ends is lost.

    What is in doubt is sent again, with an idempotency key that the client makes, until the timeout. All methods raise the errors of
    `tollgate_client.errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 10.0,
        batching: bool = True,
        on_outage: OnOutage = "refuse",
        transport: httpx.BaseTransport | None = None,
        connections: int = 100,
    ) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=4)
        self._http = httpx.Client(
            base_url=requests.base_url(url), headers=requests.headers(key), transport=transport, limits=limits, trust_env=False
        )
        self._timeout = timeout
        self._on_outage = on_outage
        self._batching = Batching(self._send_batch) if batching else None
        self._outage = Outage()
        self.beside = Beside()

    def __enter__(self) -> "Tollgate":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Books what was admitted in an outage, if the service is back, and closes the connections."""
        self.beside.close()
        self._book_admitted()
        self._http.close()

    # Decisions

    def consume(
        self,
        customer_id: str,
        usage: Mapping[str, Quantity] | None = None,
        *,
        mode: Mode = "enforce",
        occurred_at: datetime | None = None,
        reference: str | None = None,
        dimension: str | None = None,
        idempotency_key: str | None = None,
        on_outage: OnOutage | None = None,
        **features: Quantity,
    ) -> models.Consumed:
        """Checks and books usage, all of it or none: `consume("acme", api_calls=1)`. Raises LimitExceeded or NotInPlan.

        `mode="record"` books work that is done already, as overage if need be.
        """
        body: dict[str, Any] = {"usage": requests.amounts(usage or {}, features, dimension), "mode": mode}
        body |= _present(occurred_at=occurred_at, reference=reference)
        key = idempotency_key or requests.new_key()
        try:
            if self._batching is not None:
                found = self._batching.decided({"customer_id": customer_id, **body, "idempotency_key": key})
            else:
                found = self._send(requests.CONSUME, {"customer_id": customer_id}, body, key=key)
        except errors.Unavailable as error:
            if (on_outage or self._on_outage) != "admit":
                raise
            return self._outage.admitted(customer_id, body, key, error)
        if self._outage.follows(customer_id, found):
            self._book_admitted()
        return found

    def check(self, customer_id: str, usage: Mapping[str, Quantity] | None = None, **features: Quantity) -> models.Checked:
        """Whether usage would be admitted. Books nothing."""
        return self._send(requests.CHECK, {"customer_id": customer_id}, {"usage": requests.amounts(usage or {}, features)})

    def explain(
        self, customer_id: str, usage: Mapping[str, Quantity] | None = None, *, at: datetime | None = None, **features: Quantity
    ) -> models.Explained:
        """Why usage would be admitted or refused, or was at that instant: where the limit comes from, what is used, and who holds what."""
        body = {"usage": requests.amounts(usage or {}, features), **_present(at=at)}
        return self._send(requests.EXPLAIN, {"customer_id": customer_id}, body)

    def forecast(self, customer_id: str) -> models.Forecast:
        """Where each feature will stand at the reset, and when its limit will be reached, with a band of 80 %."""
        return self._send(requests.FORECAST, {"customer_id": customer_id})

    def usage(self, customer_id: str, *, breakdown: bool = False) -> models.Status:
        """A customer's plan, and where each of its features stands."""
        query = {"breakdown": "true"} if breakdown else {}
        return self._send(requests.STATUS, {"customer_id": customer_id}, query=query)

    def history(
        self,
        customer_id: str,
        *,
        feature: str | None = None,
        by: By = "month",
        since: datetime | None = None,
        until: datetime | None = None,
        by_dimension: bool = False,
    ) -> models.History:
        """What was used in the past, bucket by bucket, by when it occurred; the last six months where no times are given."""
        query = _present(feature=feature, by=by, since=since and since.isoformat(), until=until and until.isoformat())
        if by_dimension:
            query["group_by"] = "dimension"
        return self._send(requests.HISTORY, {"customer_id": customer_id}, query=query)

    # Holds and leases

    def hold(
        self,
        customer_id: str,
        usage: Mapping[str, Quantity] | None = None,
        *,
        ttl_seconds: int = 60,
        reference: str | None = None,
        **features: Quantity,
    ) -> Hold:
        """Sets usage aside around work whose amount is not known before: `with client.hold("acme", tokens=4_000) as hold: …`.

        At the end it commits what `hold.used(…)` said, or else what was held; where the body raised and used nothing, it releases it.
        It is extended while the body runs, and ends by itself within `ttl_seconds` (1 to 86,400) of a crash.
        """
        return Hold(self, customer_id, requests.amounts(usage or {}, features), ttl_seconds, reference)

    def lease(
        self,
        customer_id: str,
        feature: str,
        *,
        chunk: int = 500,
        ttl_seconds: int = 30,
        durable: bool = False,
        reference: str | None = None,
    ) -> Lease:
        """Decides locally, without a request for each: see `Lease`."""
        return Lease(self, customer_id, feature, chunk, ttl_seconds, durable=durable, reference=reference)

    def reserve(
        self,
        customer_id: str,
        usage: Mapping[str, Quantity] | None = None,
        *,
        ttl_seconds: int = 300,
        reference: str | None = None,
        idempotency_key: str | None = None,
        **features: Quantity,
    ) -> models.Reservation:
        """Sets usage aside; `hold` does it around a block, and sees to its end."""
        body = {"usage": requests.amounts(usage or {}, features), "ttl_seconds": ttl_seconds, **_present(reference=reference)}
        return self._send(requests.RESERVE, {"customer_id": customer_id}, body, key=idempotency_key)

    def commit(
        self,
        customer_id: str,
        reservation_id: UUID | str,
        usage: Mapping[str, Quantity] | None = None,
        *,
        dimension: str | None = None,
        idempotency_key: str | None = None,
        **features: Quantity,
    ) -> models.Reservation:
        """Books what was used, which may be more or less than was held; without amounts, what was held. Raises Conflict if it ended."""
        body = {"usage": requests.amounts(usage or {}, features, dimension)} if usage or features else {}
        return self._send(requests.COMMIT, {"customer_id": customer_id, "id": reservation_id}, body, key=idempotency_key)

    def release(self, customer_id: str, reservation_id: UUID | str) -> models.Reservation:
        """Gives back what was held."""
        return self._send(requests.RELEASE, {"customer_id": customer_id, "id": reservation_id}, {})

    def extend(self, customer_id: str, reservation_id: UUID | str, *, ttl_seconds: int) -> models.Reservation:
        """Holds on for so long from now. Raises Conflict if it ended."""
        return self._send(requests.EXTEND, {"customer_id": customer_id, "id": reservation_id}, {"ttl_seconds": ttl_seconds})

    def reservation(self, customer_id: str, reservation_id: UUID | str) -> models.Reservation:
        return self._send(requests.RESERVATION, {"customer_id": customer_id, "id": reservation_id})

    def reservations(self, customer_id: str, *, state: models.ReservationState | None = None) -> Iterator[models.ListedReservation]:
        """A customer's reservations, newest first, page by page."""
        return self._pages(requests.RESERVATIONS, {"customer_id": customer_id}, _present(state=state))

    # The ledger

    def records(
        self,
        customer_id: str,
        *,
        feature: str | None = None,
        dimension: str | None = None,
        reference: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[models.Entry]:
        """A customer's ledger, newest first, page by page."""
        query = _present(feature=feature, dimension=dimension, reference=reference, since=since, until=until)
        return self._pages(requests.RECORDS, {"customer_id": customer_id}, query)

    def correct(
        self, customer_id: str, record_id: UUID | str, *, quantity: Quantity, reason: str, idempotency_key: str | None = None
    ) -> models.Correction:
        """Books a correction beside a record, in its period: -1 takes one back. Needs an admin key."""
        body = {"quantity": requests.amount(quantity), "reason": reason}
        return self._send(requests.CORRECT, {"customer_id": customer_id, "record_id": record_id}, body, key=idempotency_key)

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> models.Ingested:
        """Books CloudEvents, up to 1,000: `{"specversion": "1.0", "id", "source", "type", "subject", "time"?, "data"?}`; each one once."""
        return self._send(requests.INGEST, {}, list(events), content_type="application/cloudevents-batch+json")

    # Customers and plans, with an admin key

    def put_customer(self, customer_id: str, *, plan: str, **fields: Any) -> models.Customer:
        """Creates or updates a customer. A field that is left out keeps what is stored; None clears."""
        return self._send(requests.PUT_CUSTOMER, {"customer_id": customer_id}, {"plan": plan, **fields})

    def change_customer(self, customer_id: str, **fields: Any) -> models.Customer:
        return self._send(requests.CHANGE_CUSTOMER, {"customer_id": customer_id}, fields)

    def customer(self, customer_id: str) -> models.Customer:
        return self._send(requests.CUSTOMER, {"customer_id": customer_id})

    def delete_customer(self, customer_id: str) -> None:
        """Deletes a customer and, by and by, everything that is kept of it; its id is free again when all of it is gone."""
        self._send(requests.DELETE_CUSTOMER, {"customer_id": customer_id})

    def customers(
        self, *, query: str | None = None, plan: str | None = None, plan_version: int | None = None, near_percent: int | None = None
    ) -> Iterator[models.Customer]:
        """Customers, newest first, page by page; `query` is a part of the id or email, `near_percent` how much of a limit is used."""
        asked = _present(query=query, plan=plan, plan_version=plan_version, near_percent=near_percent)
        return self._pages(requests.CUSTOMERS, {}, asked)

    def refusals(
        self,
        customer_id: str,
        *,
        feature: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[models.Refusal]:
        """What the customer was refused in the last 30 days, newest first, page by page; `kind` is `refused` or `asked`."""
        asked = _present(feature=feature, kind=kind, since=since and since.isoformat(), until=until and until.isoformat())
        return self._pages(requests.REFUSALS, {"customer_id": customer_id}, asked)

    def plan_history(self, customer_id: str) -> Iterator[models.Terms]:
        """What was, is and will be in force, newest first."""
        return self._pages(requests.PLAN_HISTORY, {"customer_id": customer_id}, {})

    def schedule_plan(self, customer_id: str, plan: str, *, effective_at: datetime | str) -> models.Customer:
        """Puts the customer on a plan later: at an instant, or at its `period_end`."""
        body = {"plan": plan, "effective_at": effective_at}
        return self._send(requests.CHANGE_CUSTOMER, {"customer_id": customer_id}, body)

    def call_off_plan(self, customer_id: str) -> None:
        self._send(requests.CALL_OFF_PLAN, {"customer_id": customer_id})

    def override(self, customer_id: str, feature: str, limit: Quantity | None, **fields: Any) -> models.Override:
        """A limit of the customer's own; None is unlimited. Fields: enforcement, until, reason."""
        body = {"limit": None if limit is None else requests.amount(limit), **fields}
        return self._send(requests.OVERRIDE, {"customer_id": customer_id, "feature": feature}, body)

    def end_override(self, customer_id: str, feature: str) -> None:
        self._send(requests.END_OVERRIDE, {"customer_id": customer_id, "feature": feature})

    def put_addon(self, customer_id: str, plan: str, *, quantity: int = 1) -> models.Addon:
        """Lets a plan count so many times on top of the customer's own."""
        return self._send(requests.PUT_ADDON, {"customer_id": customer_id, "plan_key": plan}, {"quantity": quantity})

    def end_addon(self, customer_id: str, plan: str) -> None:
        self._send(requests.END_ADDON, {"customer_id": customer_id, "plan_key": plan})

    def create_portal_session(self, customer_id: str, *, ttl_seconds: int = 3600, **fields: Any) -> models.PortalSession:
        """Makes an address of the customer's usage page, shown this once. Fields: locale, theme, embed_origins."""
        body = {"ttl_seconds": ttl_seconds, **fields}
        return self._send(requests.CREATE_PORTAL_SESSION, {"customer_id": customer_id}, body)

    def end_portal_session(self, customer_id: str, id: UUID | str) -> None:
        """Ends a portal session: its address opens nothing from now on."""
        self._send(requests.END_PORTAL_SESSION, {"customer_id": customer_id, "id": id})

    def put_alerts(self, customer_id: str, feature: str, thresholds: Iterable[tuple[str, Quantity]]) -> models.Thresholds:
        """Thresholds of the customer's own, such as `[("percent", 80), ("remaining", 5)]`; none: nothing is raised."""
        body = {"thresholds": [{"type": type, "value": requests.amount(value)} for type, value in thresholds]}
        return self._send(requests.PUT_ALERTS, {"customer_id": customer_id, "feature": feature}, body)

    def end_alerts(self, customer_id: str, feature: str) -> None:
        """Lets the plan's own thresholds count again."""
        self._send(requests.END_ALERTS, {"customer_id": customer_id, "feature": feature})

    def alerts(self, customer_id: str, *, feature: str | None = None) -> Iterator[models.Alert]:
        """Thresholds that the customer's usage reached, newest first, page by page."""
        return self._pages(requests.ALERTS, {"customer_id": customer_id}, _present(feature=feature))

    def event_catalogue(self) -> models.EventCatalogue:
        """Every type of event, with an example."""
        return self._send(requests.EVENT_CATALOGUE, {})

    def issue_grant(
        self, customer_id: str, feature: str, quantity: Quantity, *, kind: str = "paid", idempotency_key: str | None = None, **fields: Any
    ) -> models.Granted:
        """Puts so much on top of the allowance: `paid` or `promotional`. Fields: priority, effective_at, expires_at, reference, reason."""
        body = {"feature": feature, "quantity": requests.amount(quantity), "kind": kind, **fields}
        return self._send(requests.ISSUE_GRANT, {"customer_id": customer_id}, body, key=idempotency_key)

    def grants(self, customer_id: str, *, feature: str | None = None, state: str | None = None) -> Iterator[models.Grant]:
        """A customer's grants, newest first, page by page."""
        return self._pages(requests.GRANTS, {"customer_id": customer_id}, _present(feature=feature, state=state))

    def grant(self, customer_id: str, grant_id: UUID | str) -> models.DetailedGrant:
        """A grant with the newest of its entries: which usage it paid for."""
        return self._send(requests.GRANT, {"customer_id": customer_id, "grant_id": grant_id})

    def void_grant(self, customer_id: str, grant_id: UUID | str, *, reason: str) -> models.Granted:
        """Takes back what is left of a grant, now."""
        return self._send(requests.VOID_GRANT, {"customer_id": customer_id, "grant_id": grant_id}, {"reason": reason})

    def put_plan(self, key: str, *, entitlements: Mapping[str, Mapping[str, Any]], name: str | None = None) -> models.Plan:
        """Publishes a version of a plan; unchanged content changes nothing."""
        return self._send(requests.PUT_PLAN, {"key": key}, {"entitlements": entitlements, **_present(name=name)})

    def plan(self, key: str) -> models.Plan:
        return self._send(requests.PLAN, {"key": key})

    def plans(self) -> Iterator[models.Plan]:
        return self._pages(requests.PLANS, {}, {})

    def put_feature(self, key: str, *, unit: str, resolution: int = 1) -> models.Feature:
        return self._send(requests.PUT_FEATURE, {"key": key}, {"unit": unit, "resolution": resolution})

    # How

    def _send(
        self,
        operation: Operation[T],
        ids: Mapping[str, object],
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        content_type: str = "application/json",
    ) -> T:
        content = None if body is None else requests.encoded(body)
        headers = {} if body is None else {"Content-Type": content_type}
        if operation.method == "POST":
            headers["Idempotency-Key"] = key or requests.new_key()
        attempts = requests.Attempts(self._timeout)
        request = self._http.build_request(operation.method, operation.url(**ids), content=content, headers=headers, params=query)
        while True:
            failure: errors.TollgateError
            try:
                request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), attempts.seconds)
                response = self._http.send(request)
            except httpx.TransportError as error:
                failure = requests.out_of_reach(error)
                failure.__cause__ = error
            else:
                if response.status_code not in requests.RETRIED:
                    return requests.read(operation, response)
                failure = errors.error_of(response.status_code, requests.parsed(response), response.headers)
            pause = attempts.pause(failure.retry_after)
            if pause is None:
                raise failure
            sleep(pause)

    def _pages(self, operation: Operation[requests.Page[T]], ids: Mapping[str, object], query: dict[str, Any]) -> Iterator[T]:
        asked = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()} | {"limit": 200}
        while True:
            page = self._send(operation, ids, query=asked)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            asked["cursor"] = page.next_cursor

    def _send_batch(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = self._send(requests.BATCH, {}, {"items": items})
        results: list[dict[str, Any]] = answer["results"]
        return results

    def _book_admitted(self) -> None:
        while items := self._outage.taken():
            try:
                results = self._send_batch(items)
            except errors.TollgateError:
                self._outage.put_back(items)
                return
            again = [item for item, result in zip(items, results, strict=True) if result["status"] == 503]
            self._outage.settled(items, results)
            if again:
                self._outage.put_back(again)
                return


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
