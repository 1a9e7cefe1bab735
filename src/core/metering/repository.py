"""What a unit of work knows of one kind of thing: loaded once, and from then on what was last saved."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, TypeVar

from core.metering.journal import Journal

K = TypeVar("K")
V = TypeVar("V")


class Repository(ABC, Generic[K, V]):
    """The identity map of one kind of thing within a unit of work.

    `load` reads what a list of commands names, in one question. `get` answers from memory, and so sees what earlier commands of the
    list have saved. `UnitOfWork.commit` writes the last state that `save` was given of each; where a command is refused, the
    unit of work takes back what it saved.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[K, V | None] = {}
        self._saved: dict[K, V] = {}

    @abstractmethod
    def key(self, value: V) -> K:
        """What the thing goes by; a key begins with the customer's id."""

    @abstractmethod
    async def find(self, keys: Sequence[K]) -> Iterable[V]:
        """Those that exist among these, as they are stored. Remembers nothing: for what has to be known before the lock."""

    async def load(self, keys: Iterable[K]) -> None:
        """Reads those of these that are not known yet, so that `get` can answer."""
        unknown = list(dict.fromkeys(keys))
        if self._known or self._saved:
            unknown = [key for key in unknown if key not in self._known and key not in self._saved]
        if unknown:
            found = await self.find(unknown)
            self._known.update(dict.fromkeys(unknown))
            self._known.update((self.key(value), value) for value in found)

    def get(self, key: K) -> V | None:
        """As it was last saved, or else loaded; None where there is none. KeyError where it was never loaded: that is a mistake."""
        saved = self._saved.get(key)
        return self._known[key] if saved is None else saved

    def save(self, value: V) -> None:
        """Something new, or the next state of something known; written by `UnitOfWork.commit`."""
        self._journal.put(self._saved, self.key(value), value)

    def saved(self) -> Collection[V]:
        """The last state of each thing that was saved, for the commit to write."""
        return self._saved.values()
