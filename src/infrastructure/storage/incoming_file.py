"""A file that is being written, and exists under its own name only when it is whole."""

import os
from pathlib import Path
from typing import BinaryIO

from infrastructure.embedded.data_directory import sync_directory


class IncomingFile:
    """It is written under a temporary name and then renamed; both names lie below `root`, which exists.

    It blocks, so it is used in threads, by one at a time. Every method may raise OSError.
    """

    def __init__(self, temporary: Path, path: Path, root: Path) -> None:
        self._temporary = temporary
        self._path = path
        self._directories = [root / parent for parent in path.relative_to(root).parents]  # the innermost first, and the root last
        self._file: BinaryIO | None = None

    def write(self, content: bytes | bytearray) -> None:
        self._opened().write(content)

    def keep(self) -> None:
        """Gives the file its name. From here on it survives a power failure, and so do the directories that lead to it."""
        with self._opened() as file:
            file.flush()
            os.fsync(file.fileno())
        for directory in reversed(self._directories):
            directory.mkdir(mode=0o700, exist_ok=True)
        self._temporary.rename(self._path)
        for directory in self._directories:
            sync_directory(directory)

    def discard(self) -> None:
        """Removes the file, however much of it was written."""
        try:
            self._temporary.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
        finally:
            if self._file is not None:
                self._file.close()

    def _opened(self) -> BinaryIO:
        """The temporary file, created when it is first asked for."""
        if self._file is None:
            self._file = open(self._temporary, "xb", opener=_private)  # noqa: SIM115 - closed by `keep` and `discard`
        return self._file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
