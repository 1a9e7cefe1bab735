"""What was admitted while the database was away, as it is written down until it is booked."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.metering.balance import Usage
from core.metering.consume_usage import Consumed, ConsumeUsageCommand
from core.metering.idempotency import Once, ReplyKey
from core.metering.ledger import Origin


class AdmittedUsage(NamedTuple):
    """One decision: all of its usage is booked, once, as it was answered.

    `key` is the caller's idempotency key, or one that was made up, so that booking it again changes nothing. `records` has the ids that
    the caller was told.
    """

    customer_id: str
    key: str
    fingerprint: bytes
    reply: bytes
    admitted_at: datetime
    occurred_at: datetime
    origin: Origin
    records: Sequence[tuple[UUID, Usage]]

    @property
    def reply_key(self) -> ReplyKey:
        return ReplyKey(self.customer_id, self.key)

    @property
    def once(self) -> Once:
        """As the decision itself would have kept its answer."""
        return Once(self.key, self.fingerprint, lambda _: self.reply)


def admitted(command: ConsumeUsageCommand, once: Once | None, consumed: Consumed, at: datetime, made_up: str) -> AdmittedUsage:
    """What has to be written down of a decision; `made_up` is its key where the caller sent none, and is nobody else's."""
    return AdmittedUsage(
        customer_id=command.customer_id,
        key=once.key if once else made_up,
        fingerprint=once.fingerprint if once else b"",
        reply=once.encode(consumed) if once else b"",
        admitted_at=at,
        occurred_at=consumed.records[0].occurred_at if consumed.records else at,
        origin=command.origin,
        records=[(record.id, Usage(record.feature, record.quantity, record.dimension)) for record in consumed.records],
    )
