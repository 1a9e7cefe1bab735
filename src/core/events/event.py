"""An event: a fact that leaves the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact, written by the transaction that made it true. Its id and its data are final.

    `type` is one of the catalogue. `customer_id` is whom it is about; None: no customer. `data` is what receivers get: texts, numbers,
    instants, lists and further mappings. `once` names a fact that is told once for each customer: a second event of that name is not
    written.
    """

    id: UUID
    type: str
    customer_id: str | None
    occurred_at: datetime
    data: Mapping[str, object]
    once: str | None = None
