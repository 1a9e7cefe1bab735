"""The directory in which a service keeps what must outlast it: its secrets, its uploads and its embedded PostgreSQL."""

import fcntl
import os
import secrets
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SECRET_BYTES: Final = 32


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message is one line for the operator."""


class DataDirectoryInUse(DataDirectoryError):
    """Another process has acquired the directory. `pid` is None where that process has not written its id yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"The data directory {path} is in use by {holder}.")


class DataDirectory:
    """A private directory that one process at a time may own; construction creates it.

    Ownership is a lock that the kernel releases when its holder ends, so a killed service never locks out the next one. What a
    service leaves running does not inherit it. As a context manager, the directory is acquired and released.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable("created", error) from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise DataDirectoryError(f"The data directory {self.path} cannot be written by user {os.geteuid()}.")

    def acquire(self) -> None:
        """Makes this process the directory's only owner, or raises DataDirectoryInUse at once."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable("written", error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).strip()
            os.close(lock)
            raise DataDirectoryInUse(self.path, int(holder) if holder.isdigit() else None) from error
        except OSError as error:
            os.close(lock)
            raise self._unusable("locked", error) from error
        self._lock = lock

    def release(self) -> None:
        """Lets another process acquire the directory; does nothing where this one has not."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def has(self, name: str) -> bool:
        """Whether a secret is kept under this name already."""
        return (self.path / name).exists()

    def secret(self, name: str, prefix: str = "") -> str:
        """The secret kept under this name, the same for every process and for good; generated when first asked for."""
        file = self.path / name
        try:
            if not file.exists():
                self._create_secret(file, prefix + secrets.token_urlsafe(_SECRET_BYTES))
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataDirectoryError(f"The secret {file} cannot be read or written: {error}.") from error
        if not secret:
            raise DataDirectoryError(f"The secret {file} is empty: put one there, or remove the file to have one generated.")
        return secret

    def _create_secret(self, file: Path, secret: str) -> None:
        """A link appears whole or not at all, and never replaces another one: processes that start together agree on one secret."""
        with tempfile.NamedTemporaryFile("w", dir=self.path, prefix=f"{file.name}.", encoding="utf-8") as draft:
            draft.write(secret)
            draft.flush()
            os.fsync(draft.fileno())
            try:
                os.link(draft.name, file)
            except FileExistsError:
                return
        sync_directory(self.path)

    def _unusable(self, attempt: str, error: OSError) -> DataDirectoryError:
        return DataDirectoryError(f"The data directory {self.path} cannot be {attempt}: {error.strerror}.")


def sync_directory(path: Path) -> None:
    """Makes new names in the directory survive a power failure."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
