"""What an event of a type is booked as, where that is not simply the feature that the type names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from core.errors import DomainError
from core.metering.balance import Amount
from core.metering.repository import Repository
from core.text import SHORT_LABEL_LENGTH_MAX, mended_label

METERS_MAX: Final = 20
EXPECTED_PATH: Final = "a path into the event's data, such as data.usage.total"

_PATH: Final = re.compile(r"data(\.[^.\s]{1,64}){1,8}")


class InvalidEvent(DomainError):
    """An event that says nothing where its type's meters look."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.message = f"{path}: {reason}"

    def facts(self) -> Mapping[str, object]:
        return {"path": self.path}


def is_path(text: str) -> bool:
    """Whether it leads into an event's data."""
    return _PATH.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class EventMeter:
    """One feature that an event counts towards. `quantity` is a number, or the path to one; `dimension` a path to a text."""

    feature: str
    quantity: Decimal | str = Decimal(1)
    dimension: str | None = None

    def amount(self, data: object) -> Amount:
        """Raises InvalidEvent where the path leads to no number. A dimension that is not there is none."""
        found = None if self.dimension is None else _found(data, self.dimension)
        named = isinstance(found, str | int) and not isinstance(found, bool) and found != ""
        label = mended_label(str(found), SHORT_LABEL_LENGTH_MAX) if named else None
        if isinstance(self.quantity, Decimal):
            return Amount(self.feature, self.quantity, label)
        found = _found(data, self.quantity)
        if found is None:
            raise InvalidEvent(self.quantity, "nothing is there, and a number is expected")
        if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
            raise InvalidEvent(self.quantity, "a number is expected")
        return Amount(self.feature, Decimal(str(found)), label)


@dataclass(frozen=True, slots=True)
class EventType:
    """Events of one type, and what they count towards: all of it, or the event is rejected."""

    key: str
    meters: tuple[EventMeter, ...]

    def amounts(self, data: object) -> Sequence[Amount]:
        """What an event with these data is booked as. Raises InvalidEvent."""
        return [meter.amount(data) for meter in self.meters]


class EventTypes(Repository[str, EventType]):
    """The types that are mapped to features, inside a unit of work. One without meters is mapped to nothing: its name is a feature's."""

    def key(self, value: EventType) -> str:
        return value.key


def _found(data: object, path: str) -> Any:
    """What the path leads to; None where it leads nowhere."""
    value: object = data
    for name in path.split(".")[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
