"""A hold around a block of work."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tollgate_client import errors, models
from tollgate_client._requests import Quantity, amount, amounts

if TYPE_CHECKING:
    from tollgate_client._sync.client import Tollgate


class Hold:
    """Usage that is set aside while a block runs. Made by `Tollgate.hold`."""

    def __init__(self, client: "Tollgate", customer_id: str, usage: list[dict[str, Any]], ttl_seconds: int, reference: str | None) -> None:
        self._client = client
        self._customer_id = customer_id
        self._usage = usage
        self._ttl_seconds = ttl_seconds
        self._reference = reference
        self._used: dict[str, Decimal] | None = None
        self._dimension: str | None = None
        self._call_off: Callable[[], None] | None = None
        self.reservation: models.Reservation | None = None
        """As it last was; None before it began."""

    def used(self, usage: Mapping[str, Quantity] | None = None, *, dimension: str | None = None, **features: Quantity) -> None:
        """Says what was really used, less or more than was held. Said again for a feature, the last one counts."""
        said = amounts(usage or {}, features)
        self._used = {**(self._used or {}), **{item["feature"]: amount(item["quantity"]) for item in said}}
        self._dimension = dimension if dimension is not None else self._dimension

    def __enter__(self) -> "Hold":
        """Raises LimitExceeded or NotInPlan where it does not fit."""
        if self.reservation is not None:
            raise errors.Closed("a hold is entered once: ask the client for another one")
        wanted = {item["feature"]: item["quantity"] for item in self._usage}
        self.reservation = self._client.reserve(self._customer_id, wanted, ttl_seconds=self._ttl_seconds, reference=self._reference)
        self._extend_later()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._call_off is not None:
            self._call_off()
        assert self.reservation is not None
        customer_id, id = self._customer_id, self.reservation.id
        try:
            if self._used is not None:
                self.reservation = self._client.commit(customer_id, id, self._used, dimension=self._dimension)
            elif error is None:
                self.reservation = self._client.commit(customer_id, id)
            else:
                self.reservation = self._client.release(customer_id, id)
        except errors.TollgateError:
            if error is None:
                raise  # what the body raised says more; the hold ends by itself

    def _extend_later(self) -> None:
        self._call_off = self._client.beside.later(self._ttl_seconds / 2, self._extend)

    def _extend(self) -> None:
        assert self.reservation is not None
        try:
            self.reservation = self._client.extend(self._customer_id, self.reservation.id, ttl_seconds=self._ttl_seconds)
        except errors.Conflict:
            return  # it has ended: a commit is still booked, as late
        except errors.TollgateError:
            pass  # the next time may go better
        self._extend_later()
