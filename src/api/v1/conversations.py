"""/api/v1/messages and /api/v1/conversations: messaging, counted by conversation."""

import re
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from api.container import Container
from api.dependencies import ProductReader, ProductReporter, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page
from api.replies import Reply
from api.wire import Cursor, Id, Instant, Limit, Number, Page, Wire, from_cursor, identified, number
from core.conversations.conversation import Conversation, ConversationNotFound
from core.conversations.counterparty import address_of
from core.conversations.features import CONVERSATIONS
from core.conversations.message import Channel, Direction
from core.conversations.ports import ConversationKey
from core.conversations.record_message import Recorded, RecordMessageCommand
from core.text import mended_prose

PRODUCT: Final = "conversations"

router = APIRouter(prefix="/api/v1", tags=["conversations"], route_class=FrameRoute)

_LOST_PLUS: Final = re.compile(r"\A (?=\d+\Z)")


def _as_text(value: Any) -> Any:
    """A sender is never refused, and a half of a surrogate pair is a text in no encoding: it is mended before anybody looks."""
    return mended_prose(value, len(value)) if isinstance(value, str) else value


Counterparty = Annotated[str, BeforeValidator(_as_text)]


class NewMessage(Wire):
    """A message to or from a counterparty."""

    direction: Direction
    counterparty: Annotated[
        Counterparty,
        Field(
            description="A phone number in any spelling, also inside a chat address (436601234567@s.whatsapp.net) or a URI "
            "(whatsapp:+436601234567, tel:); one without a country code is read by the customer's phone_region. Or whatever else the "
            "platform calls somebody: an id of up to 255 characters counts as itself, of a longer one the beginning and a digest. A "
            "sender is never refused; one that is empty counts as `unknown`. A recipient is a number, or has a letter or an @ in it.",
            examples=["+1 (415) 555-2671", "12345@lid"],
        ),
    ]
    message_id: Annotated[
        Id, Field(description="your own id of the message, which no other message of the customer may have", examples=["wamid.7"])
    ]
    channel: Annotated[Channel, Field(description="stored; it makes no difference to what is counted")] = Channel.DIRECT
    sent_at: Annotated[Instant | None, Field(description="up to 35 days ago, at most 5 minutes ahead; null: now")] = None


# TypedDicts, as the answers to all decisions are.
class ConversationAnswer(TypedDict):
    """The messages with one counterparty within one window: started_at <= t < expires_at."""

    id: UUID
    counterparty: Annotated[
        str,
        Field(
            description="a phone number in E.164, in the one form that its country's numbering plan has today; or an id as it is",
            examples=["+14155552671"],
        ),
    ]
    started_at: datetime
    expires_at: datetime
    message_count: int


class ConversationsStanding(TypedDict):
    """Where the customer's conversations stand in the current period. Null: unlimited."""

    used: Number
    limit: Number | None
    remaining: Number | None


class MessageAnswer(TypedDict):
    """What the message did."""

    conversation: ConversationAnswer
    new_conversation: bool
    usage: ConversationsStanding
    over_limit: Annotated[bool, Field(description="whether it opened a conversation above the limit")]


_MESSAGE_ANSWER: Final = TypeAdapter(MessageAnswer)


def _to_answer(conversation: Conversation) -> ConversationAnswer:
    return ConversationAnswer(
        id=conversation.id,
        counterparty=conversation.counterparty,
        started_at=conversation.started_at,
        expires_at=conversation.expires_at,
        message_count=conversation.message_count,
    )


def _recorded(recorded: Recorded) -> Reply:
    receipt, usage = recorded.receipt, recorded.receipt.usage
    answer = MessageAnswer(
        conversation=ConversationAnswer(
            id=receipt.conversation_id,
            counterparty=receipt.counterparty,
            started_at=receipt.started_at,
            expires_at=receipt.expires_at,
            message_count=receipt.message_count,
        ),
        new_conversation=receipt.new_conversation,
        usage=ConversationsStanding(
            used=number(usage.used, CONVERSATIONS),
            limit=None if usage.limit is None else number(usage.limit, CONVERSATIONS),
            remaining=None if usage.remaining is None else number(usage.remaining, CONVERSATIONS),
        ),
        over_limit=receipt.over_limit,
    )
    status = 200 if recorded.again else 201
    return Reply(status, _MESSAGE_ANSWER.dump_json(answer), location=f"/api/v1/conversations/{receipt.conversation_id}")


@router.post(
    "/messages",
    status_code=201,
    response_model=MessageAnswer,
    responses={
        200: {"model": MessageAnswer, "description": "This message was counted before: the first answer."},
        **refusals(
            "conversation_quota_exceeded",
            "feature_not_in_plan",
            "invalid_phone_number",
            "invalid_sent_at",
            "message_conflict",
        ),
    },
)
@carried_out(by=lambda container: container.record_message(), answered=_recorded)
def record_message(body: NewMessage, caller: ProductReporter) -> RecordMessageCommand:
    """Count a message, in either direction, in its conversation. Where none is open, the message opens one, which is booked.

    An inbound message is never refused, whoever sent it. An outbound message is refused where it would open a conversation beyond the
    quota. The same message again (message_id, direction and counterparty) gets the first answer, whatever else it says, and nothing is
    counted twice; the same message_id for another message is a conflict.
    """
    return RecordMessageCommand(
        customer_id=caller.customer_id,
        direction=body.direction,
        counterparty=body.counterparty,
        message_id=body.message_id,
        recorded_by=caller.name,
        channel=body.channel,
        sent_at=body.sent_at,
    )


@router.get("/conversations")
async def list_conversations(
    request: Request,
    caller: ProductReader,
    active: Annotated[bool | None, Query(description="true: only those that are open; false: only those that have ended")] = None,
    counterparty: Annotated[str | None, Query(description="only those with it: a number in any spelling, or an id")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ConversationAnswer]:
    """The customer's conversations, newest first."""
    container = container_of(request)
    known_as = None if counterparty is None else await _known_as(container, caller.customer_id, counterparty)
    reader = container.conversation_reader()
    found = await reader.newest_that_are(
        caller.customer_id, limit + 1, from_cursor(cursor), at=container.clock()(), active=active, counterparty=known_as
    )
    return page(found, limit, reader.position).each(_to_answer)


async def _known_as(container: Container, customer_id: str, counterparty: str) -> str:
    """What it would be counted as if it sent a message."""
    address = address_of(_LOST_PLUS.sub("+", counterparty, count=1))  # in a URL, a + that is not escaped is a space
    region = (await container.customer_reader().get(customer_id)).phone_region if address.needs_region else None
    known: str = container.phone_numbers().known_as(address, region)
    return known


@router.get("/conversations/{id}", responses=refusals("conversation_not_found"))
async def get_conversation(
    request: Request,
    id: Annotated[UUID, Path(description="the conversation's id"), identified(ConversationNotFound)],
    caller: ProductReader,
) -> ConversationAnswer:
    """One conversation; where it was found to be part of another one, that one. Another customer's answers 404."""
    container = container_of(request)
    return _to_answer(await container.conversation_reader().get(ConversationKey(caller.customer_id, id)))
