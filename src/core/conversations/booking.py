"""What a message books: usage is the number of conversations, period by period, without those that somebody has given back."""

from typing import Final

from core.conversations.conversation import Conversation, Placement
from core.conversations.features import CONVERSATIONS
from core.conversations.message import Direction
from core.conversations.ports import ConversationsUnitOfWork
from core.metering.account import Account
from core.metering.entitlements import metered_entitlement
from core.metering.ledger import Cause, CorrectedRecord, Origin, UsageRecord
from core.plans.periods import Period

SOURCE: Final = "conversations"
MERGED: Final = "merged"
MOVED: Final = "start moved"


def book(placement: Placement, direction: Direction, recorded_by: str, account: Account, uow: ConversationsUnitOfWork) -> bool:
    """Books a conversation that was opened, moves a unit along with its start, and gives back those of conversations that were merged.

    Says whether it went above the limit of the period in which the conversation started. Raises LimitExceeded and FeatureNotInPlan for
    an outbound message that opens one.
    """
    conversation, before = placement.conversation, placement.before
    if before is None:
        if direction is Direction.OUTBOUND:
            account.require(CONVERSATIONS.key, 1)
        record = account.record(CONVERSATIONS.key, 1, _origin(conversation, recorded_by), occurred_at=conversation.started_at)
        _known(record, uow)
        return record.overage > 0
    if conversation.started_at != before.started_at and before.started_at not in counting_period(account, conversation):
        moved = _give_back(before, MOVED, recorded_by, account, uow)
        again = account.rebook(CONVERSATIONS.key, moved, conversation.started_at, MOVED, _origin(before, recorded_by))
        if again is not None:
            _known(again, uow)
    for absorbed in placement.merged:
        _give_back(absorbed, MERGED, recorded_by, account, uow)
    return False


def cause_of(conversation: Conversation) -> Cause:
    """What a conversation's usage is booked for."""
    return Cause(conversation.customer_id, CONVERSATIONS.key, SOURCE, str(conversation.id))


def counting_period(account: Account, conversation: Conversation) -> Period:
    """The period that a conversation counts in."""
    return account.billing.period(metered_entitlement(account.plan, CONVERSATIONS.key).reset, conversation.started_at)


def _give_back(conversation: Conversation, reason: str, recorded_by: str, account: Account, uow: ConversationsUnitOfWork) -> int:
    """Gives back what is left of the conversation's one unit, and says how much: none where somebody has corrected it before."""
    records = uow.records.of(cause_of(conversation))
    unit = left = min(sum(known.total for known in records), 1)
    for known in reversed(records):
        left -= account.give_back(known, left, reason, _origin(conversation, recorded_by))
    return unit - left


def _known(record: UsageRecord, uow: ConversationsUnitOfWork) -> None:
    """The messages that are counted together with this one may merge or move what it has opened."""
    uow.records.save(CorrectedRecord(record, record.quantity))


def _origin(conversation: Conversation, recorded_by: str) -> Origin:
    return Origin(SOURCE, recorded_by, str(conversation.id))
