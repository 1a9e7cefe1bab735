"""Things that are kept just as they are: written with their usage or not at all, and read by their owner only."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from core.metering.owned import OwnedKey, OwnedNotFound, OwnedReader
from core.metering.reader import Position
from core.metering.use_case import execute_one
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.granting import GrantingStore
from tests.unit.fakes.notes import Note, UnlawfulText, WriteNote, WriteNoteCommand

NOTE = Note(UUID(int=7), "acme", NOW, "milk")


class OneNote(OwnedReader[Note]):
    def missing(self, id: str) -> OwnedNotFound:
        return OwnedNotFound("sticky_note", id)

    async def get(self, key: OwnedKey) -> Note:
        if key != (NOTE.customer_id, NOTE.id):
            raise self.missing(str(key.id))
        return NOTE

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Note]:
        return [NOTE]


async def test_a_thing_and_its_usage_are_kept_together() -> None:
    store = GrantingStore(notes=2)
    note = await execute_one(WriteNote(store.unit_of_work, store.clock), WriteNoteCommand("acme", "milk"))
    assert (store.kept(Note), store.used("notes")) == ([note], 1)


async def test_of_a_refused_command_nothing_is_kept_and_its_neighbours_stand() -> None:
    store = GrantingStore(notes=2)
    commands = [WriteNoteCommand("acme", text) for text in ("milk", "unlawful", "bread", "butter")]
    milk, refused, bread, beyond = await WriteNote(store.unit_of_work, store.clock).execute(calls(*commands))
    assert isinstance(refused, UnlawfulText)
    assert store.kept(Note) == [milk, bread]
    assert beyond not in store.kept(Note)
    assert store.used("notes") == 2


async def test_of_a_kind_there_is_one_repository_in_a_unit_of_work() -> None:
    async with GrantingStore().unit_of_work() as uow:
        uow.repository(Note).save(NOTE)
        key = uow.repository(Note).key(NOTE)
        assert uow.repository(Note).get(key) == NOTE


def test_a_thing_goes_by_its_customer_and_its_id() -> None:
    assert OwnedKey("acme", UUID(int=7)) == ("acme", UUID(int=7))


async def test_an_id_as_a_caller_wrote_it_leads_to_the_customers_own() -> None:
    assert await OneNote().one("acme", str(NOTE.id).upper()) == NOTE


@pytest.mark.parametrize(("customer", "id"), [("globex", str(NOTE.id)), ("acme", str(UUID(int=8))), ("acme", "7"), ("acme", "")])
async def test_what_is_anothers_or_no_id_at_all_is_told_as_missing_by_what_was_asked_for(customer: str, id: str) -> None:
    with pytest.raises(OwnedNotFound) as missing:
        await OneNote().one(customer, id)
    assert (missing.value.kind, missing.value.message) == ("sticky_note", f"No sticky note {id!r}.")


def test_a_page_of_a_list_ends_at_when_its_last_thing_was_created() -> None:
    assert OneNote().position(replace(NOTE, answered_at=NOW)) == (NOW, NOTE.id)
