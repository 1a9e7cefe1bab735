"""Ledger entries inside a unit of work, with what they amount to by now: what can still be taken back of them."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from core.metering.journal import Journal
from core.metering.ledger import Cause, CorrectedRecord, RecordKey
from core.metering.repository import Repository


class Records(Repository[RecordKey, CorrectedRecord]):
    """Ledger entries, one by one or by what they were booked for.

    What is saved here is a new total, for the commands that follow: the account saves it with each correction that it books. The
    correction is an entry of its own, which the commit writes.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._sought: set[Cause] = set()
        self._of: dict[Cause, tuple[RecordKey, ...]] = {}

    def key(self, value: CorrectedRecord) -> RecordKey:
        return RecordKey(value.record.customer_id, value.record.id)

    @abstractmethod
    async def find_of(self, causes: Sequence[Cause]) -> Iterable[CorrectedRecord]:
        """What was booked for these, in the order in which it was booked; without corrections, which are part of the totals."""

    async def load_of(self, causes: Iterable[Cause]) -> None:
        """Reads what was booked for those of these that are not known yet, so that `of` can answer."""
        unknown = [cause for cause in dict.fromkeys(causes) if cause not in self._sought]
        if not unknown:
            return
        self._sought.update(unknown)
        keys: dict[Cause, dict[RecordKey, None]] = {cause: {} for cause in unknown}
        for found in await self.find_of(unknown):
            assert found.record.cause is not None, "it was found by it"
            self._known.setdefault(self.key(found), found)
            keys[found.record.cause][self.key(found)] = None
        for cause, found_keys in keys.items():
            self._of[cause] = tuple(found_keys | dict.fromkeys(self._of.get(cause, ())))

    def of(self, cause: Cause) -> Sequence[CorrectedRecord]:
        """What was booked for it, and saved for it since, in that order. KeyError where it was never loaded: that is a mistake."""
        return [known for key in self._of[cause] if (known := self.get(key)) is not None]

    def save(self, value: CorrectedRecord) -> None:
        super().save(value)
        cause, key = value.record.cause, self.key(value)
        if cause is not None and key not in self._of.get(cause, ()):
            self._journal.put(self._of, cause, (*self._of.get(cause, ()), key))


class NoRecords(Records):
    """For an account that is only read."""

    async def find(self, keys: Sequence[RecordKey]) -> Iterable[CorrectedRecord]:
        return ()

    async def find_of(self, causes: Sequence[Cause]) -> Iterable[CorrectedRecord]:
        return ()
