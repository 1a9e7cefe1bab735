"""What is kept just as it is: usage that is missing is found by its things, and a refused command leaves neither."""

from typing import Any

import pytest

from core.metering.use_case import execute_one
from core.plans.features import Feature
from core.plans.plan import Metered, Plan
from core.reconciliation.drift import MissingUsage
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.upkeep.drift import SqlDriftReader
from tests.integration import kinds
from tests.integration.kinds import NOTES, NOW
from tests.integration.units_of_work import ACME, SqlStorage
from tests.unit.fakes.notes import Note, UnlawfulText, WriteNote, WriteNoteCommand

NOTED = Plan("pro", 1, "Pro", {"notes": Metered(2)})


@pytest.fixture
async def storage(connections: Connections) -> SqlStorage:
    storage = SqlStorage(connections, NOTES)
    await storage.create(NOTES.table)
    async with storage.open() as uow:
        await uow.plans.declare(Feature("notes", "note"))
        await uow.commit()
    await storage.publish(NOTED)
    await storage.put(ACME)
    return storage


async def test_each_thing_is_evidence_of_one_unit_under_its_id(connections: Connections, storage: SqlStorage) -> None:
    assert NOTES.evidence is not None
    note = kinds.notes("acme").first
    async with storage.open() as uow:
        uow.repository(Note).save(note)
        await uow.commit()
    (missing,) = await SqlDriftReader(connections, PlanCatalog((), ()), [NOTES.evidence]).missing(["acme"])
    assert missing == MissingUsage("acme", "notes", "desk", str(note.id), 1, NOW, None)


async def test_of_what_was_booked_with_its_thing_nothing_is_missing(connections: Connections, storage: SqlStorage) -> None:
    assert NOTES.evidence is not None
    write: Any = WriteNote(storage.open, lambda: NOW)
    note = await execute_one(write, WriteNoteCommand("acme", "milk"))
    with pytest.raises(UnlawfulText):
        await execute_one(write, WriteNoteCommand("acme", "unlawful"))
    assert await NOTES.reader(connections).newest("acme", 10, None) == [note]
    assert await SqlDriftReader(connections, PlanCatalog((), ()), [NOTES.evidence]).missing(["acme"]) == []
