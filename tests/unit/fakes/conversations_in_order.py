"""What conversations come to where every message arrives in its turn: the plain reading of the rule, for one counterparty."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from core.conversations.message import Direction
from core.conversations.window import Window


class Span(NamedTuple):
    started_at: datetime
    expires_at: datetime
    message_count: int


def conversations_in_order(inbound: Iterable[datetime], window: Window, outbound: Iterable[datetime] = ()) -> list[Span]:
    extending = {Direction.INBOUND: window.extending, Direction.OUTBOUND: window.extending and window.extends == "any"}
    sent = [(at, Direction.INBOUND) for at in inbound] + [(at, Direction.OUTBOUND) for at in outbound]
    spans: list[Span] = []
    for at, direction in sorted(sent):
        if spans and at < spans[-1].expires_at and spans[-1].message_count != window.messages_max:
            start, end, count = spans[-1]
            spans[-1] = Span(start, at + window.length if extending[direction] else end, count + 1)
        else:
            spans.append(Span(at, at + window.length, 1))
    return spans
