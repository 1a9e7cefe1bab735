"""A product of one kind of things that is kept just as it is: notes, with a field of every type that a column can have."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from core.errors import DomainError
from core.metering.account import Account
from core.metering.ledger import Origin
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


class Colour(StrEnum):
    YELLOW = "yellow"
    PINK = "pink"


class UnlawfulText(DomainError):
    """Something that only shows when the note is saved already."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note on somebody's desk."""

    id: UUID
    customer_id: str
    created_at: datetime
    text: str
    colour: Colour = Colour.YELLOW
    stars: int = 0
    done: bool = False
    weight: Decimal = Decimal(0)
    back: Colour | None = None
    answer_to: UUID | None = None
    answered_at: datetime | None = None
    cost: Decimal | None = None
    place: int | None = None
    author: str | None = None
    read: bool | None = None


@dataclass(frozen=True, slots=True)
class WriteNoteCommand:
    customer_id: str
    text: str


class WriteNote(AccountUseCase[WriteNoteCommand, Note, UnitOfWork]):
    features = ("notes",)

    def decide(self, command: WriteNoteCommand, account: Account, uow: UnitOfWork) -> Note:
        note = Note(account.new_id(), command.customer_id, account.now, command.text)
        account.consume("notes", 1, Origin("desk", "app", str(note.id)))
        uow.repository(Note).save(note)
        if command.text == "unlawful":
            raise UnlawfulText
        return note
