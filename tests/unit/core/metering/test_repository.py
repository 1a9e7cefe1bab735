"""A repository knows what was loaded and what was saved since, and takes back what a refused command saved."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest

from core.metering.journal import Journal
from core.metering.repository import Repository


class Thing(NamedTuple):
    id: str
    state: int


class Things(Repository[str, Thing]):
    """Remembers what it was asked to find."""

    def __init__(self, journal: Journal, *stored: Thing) -> None:
        super().__init__(journal)
        self.stored = {thing.id: thing for thing in stored}
        self.asked: list[Sequence[str]] = []

    def key(self, value: Thing) -> str:
        return value.id

    async def find(self, keys: Sequence[str]) -> Iterable[Thing]:
        self.asked.append(keys)
        return [self.stored[key] for key in keys if key in self.stored]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def things(journal: Journal) -> Things:
    return Things(journal, Thing("a", 1), Thing("b", 1))


async def test_what_is_loaded_is_known_and_what_there_is_none_of_is_known_to_be_none(things: Things) -> None:
    await things.load(["a", "c"])
    assert (things.get("a"), things.get("c")) == (Thing("a", 1), None)


async def test_what_was_never_loaded_cannot_be_asked_for(things: Things) -> None:
    await things.load(["a"])
    with pytest.raises(KeyError):
        things.get("b")


async def test_a_list_is_asked_for_in_one_question_and_each_key_once(things: Things) -> None:
    await things.load(["a", "b", "a"])
    assert things.asked == [["a", "b"]]


async def test_what_is_known_is_not_asked_for_again(things: Things) -> None:
    await things.load(["a", "c"])
    await things.load(["a", "b", "c"])
    await things.load(["a"])
    assert things.asked == [["a", "c"], ["b"]]


async def test_nothing_is_asked_where_nothing_is_wanted(things: Things) -> None:
    await things.load([])
    assert things.asked == []


async def test_what_was_saved_is_seen_by_whoever_asks_next(things: Things) -> None:
    await things.load(["a", "c"])
    things.save(Thing("a", 2))
    things.save(Thing("c", 1))
    assert (things.get("a"), things.get("c")) == (Thing("a", 2), Thing("c", 1))


async def test_loading_again_does_not_forget_what_was_saved(things: Things) -> None:
    await things.load(["a"])
    things.save(Thing("a", 2))
    await things.load(["a"])
    assert things.get("a") == Thing("a", 2)


async def test_only_what_was_saved_is_written_and_only_its_last_state(things: Things) -> None:
    await things.load(["a", "b"])
    for state in (2, 3):
        things.save(Thing("a", state))
    things.save(Thing("new", 1))
    assert list(things.saved()) == [Thing("a", 3), Thing("new", 1)]


async def test_finding_remembers_nothing(things: Things) -> None:
    await things.find(["a"])
    with pytest.raises(KeyError):
        things.get("a")


async def test_what_a_refused_command_saved_is_taken_back(things: Things, journal: Journal) -> None:
    await things.load(["a", "c"])
    things.save(Thing("a", 2))
    mark = journal.mark()
    things.save(Thing("a", 3))
    things.save(Thing("c", 1))
    journal.undo(mark)
    assert (things.get("a"), things.get("c")) == (Thing("a", 2), None)
    assert list(things.saved()) == [Thing("a", 2)]
