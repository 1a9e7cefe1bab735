"""What was admitted while the service was out of reach: counted against the last known balances, and booked when it is back."""

import logging
from collections import OrderedDict, deque
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from tollgate_client import errors, models
from tollgate_client._sync.primitives import Mutex

logger = logging.getLogger("tollgate_client")

KEPT_MAX = 10_000
"""So many decisions wait to be booked at most; then it is refused."""
BALANCES_MAX = 10_000


class Outage:
    """In memory."""

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._known: OrderedDict[tuple[str, str], Decimal | None] = OrderedDict()  # what remains, as far as is known
        self._waiting: deque[dict[str, Any]] = deque()

    def follows(self, customer_id: str, found: models.Consumed) -> bool:
        """Remembers what remains; whether something waits to be booked."""
        with self._mutex:
            for feature, balance in found.balances.items():
                self._known[customer_id, feature] = balance.remaining
                self._known.move_to_end((customer_id, feature))
            while len(self._known) > BALANCES_MAX:
                self._known.popitem(last=False)
            return bool(self._waiting)

    def admitted(self, customer_id: str, body: dict[str, Any], key: str, error: errors.Unavailable) -> models.Consumed:
        """Admits a decision. Raises the error where the last known balance does not reach, or too many wait."""
        with self._mutex:
            left: dict[tuple[str, str], Decimal] = {}
            for item in body["usage"]:
                meter = (customer_id, item["feature"])
                remaining = left.get(meter, self._known.get(meter))
                if remaining is not None:
                    left[meter] = remaining - item["quantity"]
            if len(self._waiting) >= KEPT_MAX or (body["mode"] == "enforce" and any(value < 0 for value in left.values())):
                raise error
            self._known.update(left)
            occurred_at = body.get("occurred_at") or datetime.now(timezone.utc)
            self._waiting.append({"customer_id": customer_id, **body, "mode": "record", "occurred_at": occurred_at, "idempotency_key": key})
        return models.Consumed(records=[], balances={}, over_limit=False, degraded=True)

    def taken(self) -> list[dict[str, Any]]:
        """What is to be booked next; it is the caller's from now on."""
        with self._mutex:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), 1_000))]

    def settled(self, items: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
        """Complains of what was admitted and cannot be booked; a key that is known means that the first attempt had been booked."""
        for item, result in zip(items, results, strict=True):
            detail = result["body"].get("detail") if result["status"] >= 400 else None
            code = detail.get("error") if isinstance(detail, dict) else None
            if result["status"] >= 400 and result["status"] != 503 and code != "idempotency_key_reused":
                logger.error("usage of %s, admitted in an outage, cannot be booked: %s", item["customer_id"], detail)

    def put_back(self, items: list[dict[str, Any]]) -> None:
        with self._mutex:
            self._waiting.extendleft(reversed(items))
