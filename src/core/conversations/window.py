"""What one conversation pays for: an option of plans, and which messages move its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from core.conversations.features import CONVERSATIONS
from core.conversations.message import Direction
from core.plans.options import Choice, Option, Switch, WholeNumber
from core.plans.plan import Metered

SECONDS_DEFAULT: Final = 24 * 3600
SECONDS_MAX: Final = 31 * 24 * 3600
MESSAGES_MAX: Final = 1_000_000


class Extends(StrEnum):
    """Which messages move the end of an open window: those from the counterparty only, or those in either direction."""

    INBOUND = "inbound"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Window(Option):
    """The stretch of time that one unit of `conversations` pays for.

    `length` is how long it stays open after the message that opened it or, if `extending`, after the latest one that `extends` it;
    `messages_max` is how many messages it takes at most.
    """

    length: timedelta = timedelta(seconds=SECONDS_DEFAULT)
    extending: bool = True
    messages_max: int | None = None
    extends: Extends = Extends.ANY

    name = "window"
    features = (CONVERSATIONS.key,)
    parts = (
        WholeNumber("length_seconds", SECONDS_DEFAULT, smallest=1, largest=SECONDS_MAX, meaning="how long a conversation stays open"),
        Switch("extending", default=True, meaning="whether each message moves the end to its own instant plus the length"),
        WholeNumber(
            "messages_max",
            None,
            smallest=1,
            largest=MESSAGES_MAX,
            nullable=True,
            meaning="the next one opens a new conversation",
        ),
        Choice("extends", Extends.ANY, meaning="where windows are extending: which messages move the end"),
    )
    meaning = "What one unit of `conversations` pays for."
    shape = "a window such as {length_seconds: 86400, extending: true, messages_max: null}"
    only = "only conversations are counted by windows"
    absent = "24 hours after the latest message"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Window":
        return cls(
            length=timedelta(seconds=values["length_seconds"]),
            extending=values["extending"],
            messages_max=values["messages_max"],
            extends=Extends(values["extends"]),
        )

    def to_json(self) -> dict[str, int | str | bool | None]:
        return {
            "length_seconds": int(self.length.total_seconds()),
            "extending": self.extending,
            "messages_max": self.messages_max,
            "extends": self.extends.value,
        }

    def __str__(self) -> str:
        extended = "after the latest inbound message" if self.extends is Extends.INBOUND else "after the latest message"
        most = "" if self.messages_max is None else f", at most {self.messages_max} messages"
        return f"{self.length.total_seconds():.0f} s {extended if self.extending else 'from the first message'}{most}"

    def holds(self, messages: int) -> bool:
        """Whether one unit pays for so many messages."""
        return self.messages_max is None or messages <= self.messages_max

    def is_extended_by(self, direction: Direction) -> bool:
        """Whether such a message moves the end of the window that it lies in."""
        return self.extending and (self.extends is Extends.ANY or direction is Direction.INBOUND)


def window_of(entitlement: Metered) -> Window:
    """The entitlement's window; where it has none, 24 hours that every message extends."""
    return entitlement.option(Window) or Window()
