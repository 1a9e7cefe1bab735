"""A file that is being written, and exists under its own name only when it is whole."""

import errno
import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from core.sessions.uploads import UploadInProgress
from infrastructure.embedded.data_directory import sync_directory


class IncomingFile:
    """It is written under a temporary name, which one at a time has, and then renamed; both names lie below `root`, which exists.

    It blocks, so it is used in threads, by one at a time. Every method may raise OSError. No symbolic link below `root` is followed.
    """

    def __init__(self, temporary: Path, path: Path, root: Path) -> None:
        self._temporary = temporary
        self._path = path
        self._root = root
        self._directories = [root / parent for parent in path.relative_to(root).parents]  # the innermost first, and the root last
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Takes the temporary name, and what a killed process left under it. Raises UploadInProgress where another one has it."""
        self._require_own(self._temporary.parent)
        file = self._locked()
        while not self._is_named(file):  # whoever had it has just finished
            file.close()
            file = self._locked()
        file.truncate()
        self._file = file

    def write(self, content: bytes | bytearray) -> None:
        self._opened().write(content)

    def keep(self) -> None:
        """Gives the file its name. From here on it survives a power failure, and so do the directories that lead to it."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        for directory in reversed(self._directories):
            directory.mkdir(mode=0o700, exist_ok=True)
            self._require_own(directory)
        self._temporary.rename(self._path)
        file.close()
        for directory in self._directories:
            sync_directory(directory)

    def discard(self) -> None:
        """Removes the file, however much of it was written; does nothing where it was never opened."""
        if self._file is None:
            return
        try:
            if not self._file.closed:
                self._temporary.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
        finally:
            self._file.close()

    def _opened(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _locked(self) -> BinaryIO:
        """The lock ends with the file, and with the process."""
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UploadInProgress from error
        return os.fdopen(descriptor, "wb")

    def _is_named(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._temporary.lstat())
        except FileNotFoundError:
            return False

    def _require_own(self, directory: Path) -> None:
        if directory != self._root and directory.is_symlink():
            raise OSError(errno.ELOOP, "a symbolic link is not followed", str(directory))
