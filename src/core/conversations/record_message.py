"""Count a message into its conversation: every message, in either direction, by whatever channel."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.clock import Clock
from core.conversations.booking import book, cause_of
from core.conversations.conversation import Conversation, Placement, open_conversation, place
from core.conversations.counterparty import address_of
from core.conversations.features import CONVERSATIONS
from core.conversations.message import (
    Channel,
    Direction,
    InvalidPhoneNumber,
    Message,
    MessageConflict,
    Receipt,
    Standing,
    require_recent,
)
from core.conversations.ports import ConversationsUnitOfWork, MessageKey, Party, PhoneNumbers, Sought
from core.conversations.window import Window, window_of
from core.errors import DomainError
from core.metering.account import Account
from core.metering.entitlements import metered_entitlement
from core.metering.ledger import Cause
from core.metering.meters import Meter
from core.metering.use_case import AccountUseCase


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
    - A sender is never refused: `counterparty.py` says what it counts as. A recipient is a phone number, or an id.
    - A conversation is booked at the instant at which it starts, which may be 35 days ago, and is measured against the limit of that
      period. Where it turns out to have started in an earlier period, what is left of its unit moves there; where it turns out to be
      part of another one, what is left of its unit is given back. Either is a correction with a reason, so that usage is the number of
      conversations, period by period, without those that somebody has given back already.
    - One message id of a customer is one message: what comes again under it, to or from the same counterparty, gets the first answer,
      whatever else it says. With another counterparty, or in the other direction, it is another message, and refused.
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
        await uow.customers.load(command.customer_id for command in commands if address_of(command.counterparty).needs_region)
        await uow.messages.load(map(_key, commands))
        sought = self._sought(commands, uow)
        await uow.conversations.load_of(sought)
        await uow.records.load_of(_displaceable(sought, uow))

    def dated(self, commands: Sequence[RecordMessageCommand], uow: ConversationsUnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        yield from ((Meter(party.customer_id, CONVERSATIONS.key), sent_at) for party, sent_at, *_ in self._readable(commands, uow))
        for cause in _displaceable(self._sought(commands, uow), uow):
            yield from ((known.record.meter, known.record.occurred_at) for known in uow.records.of(cause))

    def _sought(self, commands: Sequence[RecordMessageCommand], uow: ConversationsUnitOfWork) -> Mapping[Party, Sought]:
        """The conversations that the messages may belong to."""
        sought: dict[Party, Sought] = {}
        for party, sent_at, now, window in self._readable(commands, uow):
            known = sought.get(party)
            earliest = min(sent_at, now) if known is None else min(sent_at, now, known.ends_after)
            sought[party] = Sought(earliest, window.messages_max)
        return sought

    def _readable(
        self, commands: Sequence[RecordMessageCommand], uow: ConversationsUnitOfWork
    ) -> Iterable[tuple[Party, datetime, datetime, Window]]:
        """Whose messages they are, when they were sent, what time it is, and the window that they fall into.

        What is refused is left out, and raised when the command is decided.
        """
        for command in commands:
            account = uow.accounts.locked.get(command.customer_id)
            if account is not None:
                try:
                    party, sent_at = self._whose_and_when(command, account, uow)
                    window = _window(account)
                except DomainError:
                    continue
                yield party, sent_at, account.now, window

    def decide(self, command: RecordMessageCommand, account: Account, uow: ConversationsUnitOfWork) -> Recorded:
        if known := uow.messages.get(_key(command)):
            self._require_same(known, command, uow)
            return Recorded(known.receipt, again=True)
        party, sent_at = self._whose_and_when(command, account, uow)
        window = _window(account)
        conversations = uow.conversations.of(party)
        placement = self._placed(sent_at, command, party, conversations, window)
        if placement.opened and command.direction is Direction.OUTBOUND and sent_at not in account.balance(CONVERSATIONS.key).period:
            # What is enforced happens now: a conversation may not be opened in a period whose quota nobody looks at.
            enforced_at = min(max(sent_at, account.balance(CONVERSATIONS.key).period.start), account.now)
            placement = self._placed(enforced_at, command, party, conversations, window)
        over_limit = book(placement, command.direction, command.recorded_by, account, uow)
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
        address = address_of(command.counterparty)
        region = _region(command, uow) if address.needs_region else None
        number = self._phone_numbers.number_of(address, region)
        if number is None and command.direction is Direction.OUTBOUND and not address.is_name:
            raise InvalidPhoneNumber(command.counterparty, region)
        return Party(command.customer_id, number or address.name), sent_at

    def _require_same(self, known: Message, command: RecordMessageCommand, uow: ConversationsUnitOfWork) -> None:
        """Raises MessageConflict where the message that has the id is another one."""
        address = address_of(command.counterparty)
        counterparty = self._phone_numbers.known_as(address, _region(command, uow) if address.needs_region else None)
        # What is stored was perhaps read when fewer forms of a number were known to be one.
        stored = {known.receipt.counterparty, self._phone_numbers.known_as(address_of(known.receipt.counterparty), None)}
        if known.direction is not command.direction or counterparty not in stored:
            raise MessageConflict(known)


def _region(command: RecordMessageCommand, uow: ConversationsUnitOfWork) -> str | None:
    customer = uow.customers.get(command.customer_id)
    return customer.phone_region if customer else None


def _key(command: RecordMessageCommand) -> MessageKey:
    return MessageKey(command.customer_id, command.message_id)


def _window(account: Account) -> Window:
    return window_of(metered_entitlement(account.plan, CONVERSATIONS.key))


def _displaceable(sought: Mapping[Party, Sought], uow: ConversationsUnitOfWork) -> Iterable[Cause]:
    """What the conversations were booked for that may turn out to have started earlier, or to be part of others.

    Only a message that was sent before a conversation started can do that, so where messages come in their turn, there are none.
    """
    for party, (ends_after, _) in sought.items():
        yield from (cause_of(conversation) for conversation in uow.conversations.of(party) if conversation.started_at > ends_after)


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
