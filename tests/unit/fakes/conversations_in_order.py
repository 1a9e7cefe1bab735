"""What conversations come to where every message arrives in its turn: the plain reading of the rule, for one counterparty."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from core.plans.plan import Window


class Span(NamedTuple):
    started_at: datetime
    expires_at: datetime
    message_count: int


def conversations_in_order(sent: Iterable[datetime], window: Window) -> list[Span]:
    spans: list[Span] = []
    for at in sorted(sent):
        if spans and at < spans[-1].expires_at and spans[-1].message_count != window.messages_max:
            start, end, count = spans[-1]
            spans[-1] = Span(start, at + window.length if window.extending else end, count + 1)
        else:
            spans.append(Span(at, at + window.length, 1))
    return spans
