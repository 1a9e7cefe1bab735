"""Count a message into its conversation: every message, in either direction, by whatever channel."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from core.clock import Clock
from core.conversations.conversation import Conversation, Placement, open_conversation, place
from core.conversations.features import CONVERSATIONS
from core.conversations.message import Channel, Direction, InvalidPhoneNumber, Message, Receipt, Standing, require_recent
from core.conversations.ports import ConversationsUnitOfWork, MessageKey, Party, PhoneNumbers, Sought
from core.conversations.window import Window, window_of
from core.errors import DomainError
from core.metering.account import Account
from core.metering.entitlements import metered_entitlement
from core.metering.ledger import Origin
from core.metering.use_case import AccountUseCase
from core.plans.periods import Period

MERGED: Final = "merged"
MOVED: Final = "start moved"


class RecordMessageCommand(NamedTuple):
    """A message to or from a counterparty. `sent_at` None is now."""

    customer_id: str
    direction: Direction
    counterparty: str
    message_id: str
    recorded_by: str
    channel: Channel = Channel.DIRECT
    sent_at: datetime | None = None


class Recorded(NamedTuple):
    """What the message did; `again` where that was when it came first, and nothing happened now."""

    receipt: Receipt
    again: bool = False


class RecordMessage(AccountUseCase[RecordMessageCommand, Recorded, ConversationsUnitOfWork]):
    """Count a message into the conversation that it belongs to, or open one and book it. `conversation.py` has the rule.

    - Inside an open conversation every message passes, whatever the limit. Which ones also extend it is the plan's `window` to say.
    - An outbound message that would open one is refused where the current period has none left; an inbound one has happened, and its
      conversation is booked, as overage if need be.
    - A conversation is booked at the instant at which it starts. Where that turns out to lie in an earlier period, its unit moves
      there; where it turns out to be part of another one, its unit is given back. Either is a compensating ledger record with a
      reason, so that usage is the number of conversations, period by period.
    - One message id of a customer is one message: what comes again under it gets the first answer, whatever it says.
    """

    features = (CONVERSATIONS.key,)

    def __init__(
        self, unit_of_work: Callable[[], ConversationsUnitOfWork], clock: Clock, new_id: Callable[[], UUID], phone_numbers: PhoneNumbers
    ) -> None:
        super().__init__(unit_of_work, clock)
        self._new_id = new_id
        self._phone_numbers = phone_numbers

    async def load(self, commands: Sequence[RecordMessageCommand], uow: ConversationsUnitOfWork) -> None:
        # Only numbers without a country code are read by the customer's region.
        await uow.customers.load(command.customer_id for command in commands if not command.counterparty.startswith("+"))
        await uow.messages.load(map(_key, commands))
        sought: dict[Party, Sought] = {}
        for command in commands:
            account = uow.accounts.locked.get(command.customer_id)
            if account is None:
                continue
            try:
                party, sent_at = self._whose_and_when(command, account, uow)
                messages_max = _window(account).messages_max
            except DomainError:
                continue  # and raised again when the command is decided
            earliest = min(sent_at, account.now, sought[party].ends_after) if party in sought else min(sent_at, account.now)
            sought[party] = Sought(earliest, messages_max)
        await uow.conversations.load_of(sought)

    def decide(self, command: RecordMessageCommand, account: Account, uow: ConversationsUnitOfWork) -> Recorded:
        if known := uow.messages.get(_key(command)):
            return Recorded(known.receipt, again=True)
        party, sent_at = self._whose_and_when(command, account, uow)
        window = _window(account)
        conversations = uow.conversations.of(party)
        placement = self._placed(sent_at, command, party, conversations, window)
        current = _period(account, account.now)
        if placement.before is None and command.direction is Direction.OUTBOUND and sent_at not in current:
            # What is enforced happens now: a conversation may not be opened in a period whose quota nobody looks at.
            enforced_at = current.start if sent_at < current.start else account.now
            placement = self._placed(enforced_at, command, party, conversations, window)
        over_limit = _book(placement, command, account)
        receipt = _receipt(placement, account, over_limit=over_limit)
        for conversation in placement.changed():
            uow.conversations.save(conversation)
        uow.messages.save(
            Message(
                customer_id=command.customer_id,
                id=command.message_id,
                direction=command.direction,
                channel=command.channel,
                sent_at=sent_at,
                recorded_at=account.now,
                receipt=receipt,
            )
        )
        return Recorded(receipt)

    def _placed(
        self, at: datetime, command: RecordMessageCommand, party: Party, conversations: Collection[Conversation], window: Window
    ) -> Placement:
        def opened() -> Conversation:
            return open_conversation(self._new_id(), *party, sent_at=at, window=window)

        return place(at, command.direction, conversations, window, opened)

    def _whose_and_when(self, command: RecordMessageCommand, account: Account, uow: ConversationsUnitOfWork) -> tuple[Party, datetime]:
        sent_at = account.now if command.sent_at is None else command.sent_at
        require_recent(sent_at, account.now)
        region = None
        if not command.counterparty.startswith("+"):
            customer = uow.customers.get(command.customer_id)
            region = customer.phone_region if customer else None
        counterparty = self._phone_numbers.e164(command.counterparty, region)
        if counterparty is None:
            raise InvalidPhoneNumber(command.counterparty, region)
        return Party(command.customer_id, counterparty), sent_at


def _key(command: RecordMessageCommand) -> MessageKey:
    return MessageKey(command.customer_id, command.message_id)


def _window(account: Account) -> Window:
    return window_of(metered_entitlement(account.plan, CONVERSATIONS.key))


def _book(placement: Placement, command: RecordMessageCommand, account: Account) -> bool:
    """Keeps usage equal to the number of conversations; says whether it went above the limit. Raises LimitExceeded, FeatureNotInPlan."""
    conversation, before = placement.conversation, placement.before

    def book_back(id: UUID, quantity: int, at: datetime, reason: str) -> None:
        account.rebook(CONVERSATIONS.key, quantity, at, reason, _origin(command, id))

    if before is None:
        if command.direction is Direction.OUTBOUND:
            account.require(CONVERSATIONS.key, 1)
        record = account.record(CONVERSATIONS.key, 1, _origin(command, conversation.id), occurred_at=conversation.started_at)
        return record.overage > 0
    if conversation.started_at != before.started_at and before.started_at not in _period(account, conversation.started_at):
        book_back(before.id, -1, before.started_at, MOVED)
        book_back(before.id, +1, conversation.started_at, MOVED)
    for absorbed in placement.merged:
        book_back(absorbed.id, -1, absorbed.started_at, MERGED)
    return False


def _period(account: Account, at: datetime) -> Period:
    return account.billing.period(metered_entitlement(account.plan, CONVERSATIONS.key).reset, at)


def _origin(command: RecordMessageCommand, conversation_id: UUID) -> Origin:
    return Origin("conversations", command.recorded_by, str(conversation_id))


def _receipt(placement: Placement, account: Account, *, over_limit: bool) -> Receipt:
    conversation, balance = placement.conversation, account.balance(CONVERSATIONS.key)
    return Receipt(
        conversation_id=conversation.id,
        counterparty=conversation.counterparty,
        started_at=conversation.started_at,
        expires_at=conversation.expires_at,
        message_count=conversation.message_count,
        new_conversation=placement.opened,
        usage=Standing(balance.used, balance.limit, balance.remaining),
        over_limit=over_limit,
    )
