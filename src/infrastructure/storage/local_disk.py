"""Uploads on a local disk, or on a volume that all processes of the service share."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from core.customers.deletion import FilePiece
from core.errors import StorageUnavailable
from core.sessions.ports import UploadStore
from core.sessions.session import UploadedFile
from core.sessions.uploads import FileSizeExceeded, UploadGrant, UploadInterrupted, UploadTarget
from infrastructure.embedded.data_directory import sync_directory
from infrastructure.storage.incoming_file import IncomingFile
from infrastructure.storage.signed_urls import SignedUploadUrls

WRITE_SIZE_BYTES: Final = 1024 * 1024
"""So much is collected before a thread writes it. An upload takes this much memory, and one chunk."""

PIECE_SIZE_BYTES: Final = 192 * 1024
"""Of a file that is read: a multiple of three, so that pieces in base64 make up the whole file's."""

_INCOMING: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.incoming")

R = TypeVar("R")


class LocalDiskUploads(UploadStore):
    """Files under names that we choose: `<two digits>/<customer's hash>/<session id>/<file id>`. Construction creates the directory.

    A file grows in `incoming/`, one at a time for each session, and appears under its name when it is whole and on the disk. Nobody but
    the service's own user may read any of it.
    """

    def __init__(self, directory: Path, secret: bytes, public_url: str, new_id: Callable[[], UUID]) -> None:
        self._urls = SignedUploadUrls(secret, public_url)
        self._new_id = new_id
        self._directory = directory.absolute()
        self._incoming = self._directory / "incoming"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        sync_directory(self._directory.parent)

    def target(self, grant: UploadGrant) -> UploadTarget:
        return self._urls.target(grant)

    def grant(self, token: str, content_type: str | None, now: datetime) -> UploadGrant:
        return self._urls.grant(token, content_type, now)

    async def keep(self, grant: UploadGrant, content: AsyncIterator[bytes]) -> UploadedFile:
        id = self._new_id()
        path = self._path(grant.customer_id, grant.session_id, id)
        file = IncomingFile(self._incoming / f"{grant.session_id}.incoming", path, self._directory)
        try:
            await _on_disk(file.open)
            size_bytes = await _receive(file, grant, content)
            await _on_disk(file.keep)
        except BaseException:
            with suppress(StorageUnavailable):  # the first failure is the one that is reported; a sweep removes what is left
                await _on_disk(file.discard)
            raise
        return UploadedFile(id, grant.content_type, size_bytes)

    async def discard(self, customer_id: str, session_id: UUID, file: UploadedFile) -> None:
        await _on_disk(partial(_remove, self._path(customer_id, session_id, file.id)))

    async def discard_some(self, customer_id: str, limit: int) -> bool:
        return await _on_disk(partial(_remove_some, self._of(customer_id), limit))

    async def pieces(self, customer_id: str) -> AsyncIterator[FilePiece]:
        for path in await _on_disk(partial(_files, self._of(customer_id))):
            session_id, file_id = UUID(path.parent.name), UUID(path.name)
            offset = 0
            while content := await _on_disk(partial(_read, path, offset)):
                yield FilePiece(session_id, file_id, offset, content)
                offset += len(content)

    def sweep(self, older_than: timedelta) -> None:
        """Removes what killed processes have left of unfinished uploads: all that was not written to for that long."""
        untouched_since = time.time() - older_than.total_seconds()  # file times come from the system's clock, not from ours
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too, or finished the upload
                if _INCOMING.fullmatch(path.name) and path.lstat().st_mtime <= untouched_since:
                    path.unlink()

    def _path(self, customer_id: str, session_id: UUID, file_id: UUID) -> Path:
        return self._of(customer_id) / str(session_id) / str(file_id)

    def _of(self, customer_id: str) -> Path:
        """A customer's id may contain any characters, so its hash is used in its place."""
        customer = sha256(customer_id.encode()).hexdigest()
        return self._directory / customer[:2] / customer


async def _receive(file: IncomingFile, grant: UploadGrant, content: AsyncIterator[bytes]) -> int:
    size_bytes = 0
    gathered = bytearray()
    async for chunk in content:
        size_bytes += len(chunk)
        if size_bytes > grant.max_size_bytes:
            raise FileSizeExceeded(grant.max_file_size_mb, size_bytes, grant.max_size_bytes)
        gathered += chunk
        if len(gathered) >= WRITE_SIZE_BYTES:
            await _on_disk(partial(file.write, gathered))
            gathered.clear()
    if not size_bytes:
        raise UploadInterrupted
    await _on_disk(partial(file.write, gathered))
    return size_bytes


async def _on_disk(work: Callable[[], R]) -> R:
    """In a thread, and always to its end. A caller that is cancelled waits for it: nothing may be removed while the thread still writes.

    Raises StorageUnavailable.
    """
    result = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        while not result.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([result])
        raise
    except OSError as error:
        raise StorageUnavailable from error


def _remove_some(directory: Path, limit: int) -> bool:
    """Files first, and then the directories that were theirs."""
    files = list(islice(directory.glob("*/*"), limit))
    for file in files:
        file.unlink(missing_ok=True)
    if not files and directory.exists():
        for emptied in (*directory.iterdir(), directory):
            with suppress(FileNotFoundError):  # another process removes them, too
                emptied.rmdir()
        with suppress(FileNotFoundError):
            sync_directory(directory.parent)
    return bool(files)


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*"))


def _read(path: Path, offset: int) -> bytes:
    """Nothing at the end, and of a file that has been replaced meanwhile."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(PIECE_SIZE_BYTES)
    except FileNotFoundError:
        return b""


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)
