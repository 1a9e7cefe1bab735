"""The journal of what was admitted while the database was away: on the local disk, durable before it is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from core.errors import StorageUnavailable
from core.outage.admitted import AdmittedUsage
from infrastructure.logs.withheld import described
from infrastructure.outage import measures
from infrastructure.outage.dead_letters import DEAD_LETTERS, DeadLetters, Rejected
from infrastructure.outage.journal_file import SUFFIX, JournalFile, NotTruncated, count_lines
from infrastructure.outage.lines import UnreadableLine, decoded, encoded

logger: Final = logging.getLogger("tollgate")


class Waiting(NamedTuple):
    """How much of a journal directory is not booked: `decisions` wait, `rejected` ones could not be."""

    decisions: int
    rejected: int


class Batch(NamedTuple):
    """The next lines of a file: decisions, lines that are none, and how many bytes that is in all."""

    decisions: Sequence[AdmittedUsage]
    unreadable: Sequence[tuple[bytes, str]]
    size: int


class Backlog:
    """What waits in one file, in the order in which it was admitted."""

    def __init__(self, file: JournalFile, dead_letters: DeadLetters) -> None:
        self.file = file
        self.waiting = count_lines(file.path)
        self._dead_letters = dead_letters

    async def oldest(self, at_most: int) -> Batch:
        """What comes next. It changes nothing: it comes again until it is settled."""
        lines = await asyncio.to_thread(self.file.read, at_most)
        decisions, unreadable = [], []
        for line in lines:
            if not line.endswith(b"\n"):
                continue  # it was being written when its process was killed, and was never answered
            try:
                decisions.append(decoded(line))
            except UnreadableLine as error:
                unreadable.append((line, str(error)))
        return Batch(decisions, unreadable, sum(map(len, lines)))

    def settle(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        """It is booked, but for what was rejected, which is put aside. Raises OSError where it cannot be; it then comes again."""
        self._dead_letters.add_unreadable(batch.unreadable)
        self._dead_letters.add(rejected)
        self.file.drop(batch.size)
        self.waiting -= len(batch.decisions) + len(batch.unreadable)
        measures.BOOKED.inc(len(batch.decisions) - len(rejected))


class OutageJournal:
    """A process's own journal, and those that it found without an owner.

    The file is made when it is needed, and removed when all of it is booked. Decisions that are written at the same time share an fsync.
    Bounded: `bytes_max` for the file, and `age_max` from its first decision on; beyond that nothing is accepted.
    """

    def __init__(
        self, directory: Path, bytes_max: int, age_max: timedelta, clock: Callable[[], datetime], new_id: Callable[[], UUID]
    ) -> None:
        self.directory = directory
        self.adopted: list[Backlog] = []
        self._bytes_max = bytes_max
        self._age_max = age_max
        self._clock = clock
        self._new_id = new_id
        self._dead_letters = DeadLetters(directory / DEAD_LETTERS, clock)
        self._own: Backlog | None = None
        self._since: datetime | None = None
        self._bytes = 0  # of the file, with what is about to be written
        self._is_broken = False
        self._is_told = False
        self._queue: list[tuple[bytes, int, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many decisions wait, those of ended processes that were found among them."""
        return self.own_waiting + sum(backlog.waiting for backlog in self.adopted)

    @property
    def own_waiting(self) -> int:
        """How many decisions of this process wait, those among them that are being written."""
        return (self._own.waiting if self._own else 0) + sum(count for _, count, _ in self._queue)

    async def everywhere(self) -> Waiting:
        """What is not booked of all processes that share the directory."""
        return await asyncio.to_thread(waiting_in, self.directory)

    def accepts(self, at: datetime) -> bool:
        """Whether a decision would be written now; why not is logged once."""
        if self._is_broken:
            return False
        if self._bytes < self._bytes_max and (self._since is None or at - self._since < self._age_max):
            return True
        if not self._is_told:
            self._is_told = True
            why = "is full" if self._bytes >= self._bytes_max else f"is older than {self._age_max}"
            logger.error("The journal of admitted decisions %s: from now on they are refused", why)
        return False

    async def append(self, decisions: Sequence[AdmittedUsage]) -> None:
        """Durable when it returns. Raises StorageUnavailable where they are not written, and the caller has to refuse them."""
        lines = b"".join(map(encoded, decisions))
        now = self._clock()
        if not self.accepts(now) or self._bytes + len(lines) > self._bytes_max:
            measures.NOT_WRITTEN.inc(len(decisions))
            raise StorageUnavailable
        self._since = self._since or now
        self._bytes += len(lines)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((lines, len(decisions), written))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write(), context=Context())
        await written
        measures.ADMITTED.inc(len(decisions))

    async def _write(self) -> None:
        try:
            while self._queue:
                queued = list(self._queue)
                failure = await self._written([lines for lines, _, _ in queued])
                del self._queue[: len(queued)]
                count = sum(count for _, count, _ in queued)
                if failure:
                    measures.NOT_WRITTEN.inc(count)
                elif self._own:
                    self._own.waiting += count
                self._measure()
                for _, _, written in queued:
                    if written.done():
                        continue
                    if failure:
                        written.set_exception(StorageUnavailable(outcome_unknown=failure.outcome_unknown))
                    else:
                        written.set_result(None)
        finally:
            self._writer = None

    async def _written(self, lines: Sequence[bytes]) -> StorageUnavailable | None:
        try:
            await asyncio.to_thread(self._write_lines, b"".join(lines))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._is_broken = True
            logger.error("The journal in %s cannot be written, so that nothing is admitted: %s", self.directory, described(error))
            return StorageUnavailable(outcome_unknown=isinstance(error, NotTruncated) or not isinstance(error, OSError))
        return None

    def _write_lines(self, lines: bytes) -> None:
        if self._own is None:
            self._own = Backlog(JournalFile.create(self.directory, str(self._new_id())), self._dead_letters)
        self._own.file.write(lines)

    async def own(self) -> Backlog | None:
        """This process's own file, once all that is being written is written; None where nothing waits."""
        while self._writer is not None:
            await asyncio.wait([self._writer])
        return self._own

    def tidy(self) -> None:
        """Removes the files of which all is booked. Raises OSError."""
        for backlog in [backlog for backlog in self.adopted if backlog.file.is_done]:
            backlog.file.remove()
            self.adopted.remove(backlog)
        if self._writer is None and (self._own is None or self._own.file.is_done):
            if self._own:
                self._own.file.remove()
            self._own, self._since, self._bytes, self._is_broken, self._is_told = None, None, 0, False, False
        self._measure()

    def adopt(self) -> None:
        """Looks for files whose owners have ended, and owns them from now on."""
        try:
            for path in sorted(self.directory.glob(f"*{SUFFIX}")):
                file = JournalFile.adopt(path)
                if file is not None:
                    logger.warning("Decisions of a process that has ended wait to be booked: %s", path)
                    self.adopted.append(Backlog(file, self._dead_letters))
        except OSError as error:
            logger.error("The journals in %s cannot be read: %s", self.directory, described(error))
        self._measure()

    def prepare(self) -> None:
        """Finds out before it is needed whether the directory can be written."""
        try:
            JournalFile.create(self.directory, str(self._new_id())).remove()
        except OSError as error:
            logger.error("Features admit on an outage, and the directory %s cannot be written: %s", self.directory, described(error))

    def close(self) -> None:
        """What waits is left for the next process."""
        for backlog in (*self.adopted, *((self._own,) if self._own else ())):
            backlog.file.close()
        self.adopted, self._own = [], None

    def _measure(self) -> None:
        measures.WAITING.set(self.waiting)


def waiting_in(directory: Path) -> Waiting:
    """What is not booked of all processes that use the directory."""
    decisions = sum(map(count_lines, directory.glob(f"*{SUFFIX}")))
    return Waiting(decisions, count_lines(directory / DEAD_LETTERS))
