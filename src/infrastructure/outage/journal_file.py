"""A file of lines on the local disk, which one process at a time owns, and which the next one finds where its owner was killed."""

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from infrastructure.embedded.data_directory import sync_directory

SUFFIX: Final = ".journal"


class NotTruncated(OSError):
    """Lines could not be written, nor taken back: whether they are there after a crash, nobody can tell."""


class JournalFile:
    """Whoever holds its lock owns it; the kernel releases the lock when the owner ends, however it ends.

    Written at the end, read from the beginning. `end` is where the durable lines end, `begin` where the first one begins that is still
    needed.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.begin = 0
        self.end = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    @classmethod
    def create(cls, directory: Path, name: str) -> Self:
        """A new one, locked before anybody can find it. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft, path = directory / f"{name}.new", directory / f"{name}{SUFFIX}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
            sync_directory(directory)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """One that nobody owns any more; None where somebody does, or where it is gone by now. Raises OSError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def write(self, lines: bytes) -> None:
        """Durable when it returns. Raises OSError where nothing of it is there, and NotTruncated where that is not known."""
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
            os.fdatasync(self._descriptor)
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.end)
            except OSError as second:
                raise NotTruncated(second.errno, second.strerror) from error
            raise
        self.end += len(lines)

    def read(self, at_most: int) -> list[bytes]:
        """The first lines that are still needed; the last one may lack its end, where its owner was killed."""
        lines: list[bytes] = []
        left = self.end - self.begin
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(self.begin)
            while len(lines) < at_most and left > 0:
                line = file.readline(left)
                left -= len(line)
                lines.append(line)
                if not line:
                    break
        return lines

    def drop(self, size: int) -> None:
        """The first bytes are not needed any more."""
        self.begin += size

    @property
    def is_done(self) -> bool:
        return self.begin >= self.end

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)
        self.close()

    def close(self) -> None:
        """Lets the next process own it."""
        os.close(self._descriptor)


def count_lines(path: Path) -> int:
    """How many lines there are in a file that may be gone."""
    try:
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
