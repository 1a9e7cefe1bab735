import asyncio
import errno
import os
import stat
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pytest_mock import MockerFixture

from core.errors import StorageUnavailable
from core.sessions.session import UploadedFile
from core.sessions.uploads import FileSizeExceeded, UploadGrant, UploadInProgress, UploadInterrupted
from infrastructure.storage.incoming_file import IncomingFile
from infrastructure.storage.local_disk import WRITE_SIZE_BYTES, LocalDiskUploads

MIB = 1024 * 1024
GRANT = UploadGrant("acme", uuid4(), "audio/mp4", 3 * MIB, Decimal("3.2"), datetime(2026, 11, 21, tzinfo=UTC))


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def files(directory: Path) -> list[Path]:
    """Everything that was kept, whole or not."""
    return [path for path in directory.rglob("*") if not path.is_dir()]


def modes(directory: Path) -> set[tuple[bool, int]]:
    """Who may do what with a directory (true) or a file (false)."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (directory, *directory.rglob("*"))}


def test_construction_creates_the_directory_and_takes_one_that_exists(uploads: LocalDiskUploads, directory: Path) -> None:
    assert directory.is_dir()
    LocalDiskUploads(directory, b"secret", "https://tollgate.example", uuid4)


def test_targets_and_grants_are_signed_with_the_secret(uploads: LocalDiskUploads) -> None:
    token = uploads.target(GRANT).url.rpartition("/")[2]

    assert uploads.grant(token, GRANT.content_type, GRANT.expires_at - timedelta(seconds=1)) == GRANT


async def test_a_file_is_kept_as_it_was_sent_under_names_of_our_own(uploads: LocalDiskUploads, directory: Path) -> None:
    chunks = [os.urandom(size) for size in (1, 0, 700_000, 700_000, 17)]

    kept = await uploads.keep(GRANT, stream(*chunks))

    customer = sha256(b"acme").hexdigest()
    assert files(directory) == [directory / customer[:2] / customer / str(GRANT.session_id) / str(kept.id)]
    assert files(directory)[0].read_bytes() == b"".join(chunks)
    assert kept == UploadedFile(kept.id, "audio/mp4", 1_400_018)


@pytest.mark.parametrize("size", [1, WRITE_SIZE_BYTES - 1, WRITE_SIZE_BYTES, WRITE_SIZE_BYTES + 1, 3 * MIB])
async def test_every_size_up_to_the_signed_one_arrives_whole(uploads: LocalDiskUploads, directory: Path, size: int) -> None:
    content = os.urandom(size)

    kept = await uploads.keep(GRANT, stream(*(content[start : start + 65_536] for start in range(0, size, 65_536))))

    assert kept.size_bytes == size
    assert files(directory)[0].read_bytes() == content


async def test_a_further_file_of_a_session_lies_beside_the_first(uploads: LocalDiskUploads, directory: Path) -> None:
    await uploads.keep(GRANT, stream(b"first"))
    await uploads.keep(GRANT, stream(b"second"))

    assert {path.read_bytes() for path in files(directory)} == {b"first", b"second"}


async def test_nobody_else_may_read_what_is_kept(uploads: LocalDiskUploads, directory: Path) -> None:
    old = os.umask(0)
    try:
        await uploads.keep(GRANT, stream(b"private"))
    finally:
        os.umask(old)

    assert modes(directory) == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize(
    "customer_id", ["../../etc/passwd", "..", ".", "/", "/etc/passwd", "a/../../../b", "nul\0byte", "~root", "incoming", "é" * 255]
)
async def test_no_customer_id_leads_out_of_the_directory(
    uploads: LocalDiskUploads, directory: Path, tmp_path: Path, customer_id: str
) -> None:
    grant = replace(GRANT, customer_id=customer_id)

    kept = await uploads.keep(grant, stream(b"content"))

    (path,) = files(tmp_path)
    hashed = sha256(customer_id.encode()).hexdigest()
    assert path.relative_to(directory).parts == (hashed[:2], hashed, str(GRANT.session_id), str(kept.id))


@pytest.mark.timeout(30)
async def test_a_large_upload_takes_little_memory(uploads: LocalDiskUploads, directory: Path) -> None:
    chunk, count = bytes(64 * 1024), 1_600

    tracemalloc.start()
    try:
        kept = await uploads.keep(replace(GRANT, max_size_bytes=100 * MIB), stream(*[chunk] * count))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept.size_bytes == files(directory)[0].stat().st_size == 100 * MIB
    assert peak < 3 * WRITE_SIZE_BYTES


async def test_a_dribble_of_tiny_chunks_is_written_in_large_pieces(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture
) -> None:
    write = mocker.spy(IncomingFile, "write")

    await uploads.keep(GRANT, stream(*[b"0123456789abcdef"] * 70_000))

    assert write.call_count == 2
    assert files(directory)[0].stat().st_size == 1_120_000


async def test_one_byte_too_many_is_refused_at_once_and_leaves_nothing(uploads: LocalDiskUploads, directory: Path) -> None:
    asked_for = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked_for
        yield bytes(3 * MIB)
        while True:
            asked_for += 1
            yield b"!"

    with pytest.raises(FileSizeExceeded) as refusal:
        await uploads.keep(GRANT, endless())

    assert refusal.value.facts() == {"max_file_size_mb": Decimal("3.2"), "size_bytes": 3 * MIB + 1, "max_size_bytes": 3 * MIB}
    assert asked_for == 1
    assert files(directory) == []


async def test_a_single_chunk_that_is_too_large_is_never_written(uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture) -> None:
    write = mocker.spy(IncomingFile, "write")

    with pytest.raises(FileSizeExceeded):
        await uploads.keep(GRANT, stream(bytes(3 * MIB + 1)))

    write.assert_not_called()


@pytest.mark.parametrize("chunks", [(), (b"",), (b"", b"")])
async def test_an_upload_without_content_is_an_interrupted_one(
    uploads: LocalDiskUploads, directory: Path, chunks: tuple[bytes, ...]
) -> None:
    with pytest.raises(UploadInterrupted):
        await uploads.keep(GRANT, stream(*chunks))

    assert files(directory) == []


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("failure", [UploadInterrupted(), ConnectionResetError("not the disk's failure"), Stopped()])
async def test_an_upload_that_breaks_off_leaves_nothing_and_says_why(
    uploads: LocalDiskUploads, directory: Path, failure: BaseException
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        assert len(files(directory)) == 1
        raise failure

    with pytest.raises(type(failure)) as raised:
        await uploads.keep(GRANT, broken())

    assert raised.value is failure
    assert files(directory) == []


async def test_a_cancelled_upload_leaves_nothing(uploads: LocalDiskUploads, directory: Path) -> None:
    written = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        written.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(uploads.keep(GRANT, stuck()))
    await written.wait()
    assert len(files(directory)) == 1
    upload.cancel()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert files(directory) == []


@pytest.mark.parametrize("call", ["write", "keep"])
async def test_an_upload_that_is_cancelled_during_disk_work_waits_for_it_and_then_leaves_nothing(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture, call: str
) -> None:
    """A thread cannot be stopped: cleaning up beside it would leave the file that it creates, writes or renames afterwards."""
    original = getattr(IncomingFile, call)
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: object) -> None:
        begun.set()
        assert go_on.wait(10)
        original(*args)

    mocker.patch.object(IncomingFile, call, slow)
    upload = asyncio.create_task(uploads.keep(GRANT, stream(bytes(2 * MIB))))
    await asyncio.to_thread(begun.wait, 10)

    for _ in range(3):
        upload.cancel()
        await asyncio.sleep(0.005)
    assert not upload.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert files(directory) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
async def test_a_failing_disk_leaves_nothing_and_is_told_in_the_domains_words(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture, call: str
) -> None:
    mocker.patch(f"os.{call}", side_effect=OSError(errno.ENOSPC, "No space left on device"))

    with pytest.raises(StorageUnavailable) as raised:
        await uploads.keep(GRANT, stream(b"content"))

    assert isinstance(raised.value.__cause__, OSError)
    assert files(directory) == []


async def test_a_failure_after_the_file_has_got_its_name_leaves_nothing(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture
) -> None:
    mocker.patch("infrastructure.storage.incoming_file.sync_directory", side_effect=OSError(errno.EIO, "Input/output error"))

    with pytest.raises(StorageUnavailable):
        await uploads.keep(GRANT, stream(b"content"))

    assert files(directory) == []


async def test_a_failing_clean_up_does_not_hide_why_the_upload_was_refused(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture
) -> None:
    mocker.patch("os.unlink", side_effect=OSError(errno.EROFS, "Read-only file system"))

    with pytest.raises(FileSizeExceeded):
        await uploads.keep(GRANT, stream(bytes(2 * MIB), bytes(2 * MIB)))


async def test_a_kept_file_is_on_the_disk_before_it_gets_its_name_and_its_directories_after(
    uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture
) -> None:
    steps: list[str] = []
    threads: set[threading.Thread] = set()
    fsync, rename = os.fsync, os.rename

    def recording_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(directory)
        steps.append(f"sync {os.fstat(descriptor).st_size} bytes" if path.suffix else f"sync {len(path.parts)}")
        threads.add(threading.current_thread())
        fsync(descriptor)

    def recording_rename(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    mocker.patch("os.fsync", recording_fsync)
    mocker.patch("os.rename", recording_rename)

    await uploads.keep(GRANT, stream(b"content"))

    assert steps == ["sync 7 bytes", "rename", "sync 3", "sync 2", "sync 1", "sync 0"]
    assert threading.main_thread() not in threads


async def test_many_uploads_of_one_new_customer_at_once_are_all_kept(uploads: LocalDiskUploads, directory: Path) -> None:
    grants = [replace(GRANT, session_id=uuid4()) for _ in range(20)]
    kept = await asyncio.gather(*(uploads.keep(grant, stream(bytes([number]) * 1_000)) for number, grant in enumerate(grants)))

    assert {file.id for file in kept} == {UUID(path.name) for path in files(directory)}
    assert {path.read_bytes() for path in files(directory)} == {bytes([number]) * 1_000 for number in range(20)}


async def test_one_upload_at_a_time_for_a_session(uploads: LocalDiskUploads, directory: Path) -> None:
    going_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        await going_on.wait()
        yield b"end"

    first = asyncio.create_task(uploads.keep(GRANT, slow()))
    await asyncio.to_thread(_until_there, directory)
    for _ in range(20):
        with pytest.raises(UploadInProgress):
            await uploads.keep(GRANT, stream(b"another"))
    other = await uploads.keep(replace(GRANT, session_id=uuid4()), stream(b"of another session"))
    assert len(files(directory)) == 2
    going_on.set()

    kept = await first
    assert {UUID(path.name) for path in files(directory)} == {kept.id, other.id}
    assert {path.stat().st_size for path in files(directory)} == {2 * MIB + 3, 18}


def _until_there(directory: Path) -> None:
    deadline = time.monotonic() + 10
    while not (found := files(directory)) or not found[0].stat().st_size:
        assert time.monotonic() < deadline


async def test_what_a_killed_process_left_does_not_stand_in_the_way(uploads: LocalDiskUploads, directory: Path) -> None:
    (directory / "incoming" / f"{GRANT.session_id}.incoming").write_bytes(b"half of a longer one")

    await uploads.keep(GRANT, stream(b"whole"))

    assert [path.read_bytes() for path in files(directory)] == [b"whole"]


@pytest.mark.parametrize("place", ["file", "incoming", "customer"])
async def test_no_symbolic_link_is_followed(uploads: LocalDiskUploads, directory: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not ours")
    if place == "file":
        (directory / "incoming" / f"{GRANT.session_id}.incoming").symlink_to(outside / "secret")
    elif place == "incoming":
        (directory / "incoming").rmdir()
        (directory / "incoming").symlink_to(outside)
    else:
        (directory / sha256(b"acme").hexdigest()[:2]).symlink_to(outside)

    with pytest.raises(StorageUnavailable):
        await uploads.keep(GRANT, stream(b"content"))

    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"not ours"


async def test_a_discarded_file_is_gone_and_others_stay(uploads: LocalDiskUploads, directory: Path) -> None:
    first = await uploads.keep(GRANT, stream(b"first"))
    await uploads.keep(GRANT, stream(b"second"))

    await uploads.discard(GRANT.customer_id, GRANT.session_id, first)

    assert [path.read_bytes() for path in files(directory)] == [b"second"]


async def test_discarding_what_is_gone_is_fine(uploads: LocalDiskUploads) -> None:
    kept = await uploads.keep(GRANT, stream(b"content"))

    await uploads.discard(GRANT.customer_id, GRANT.session_id, kept)
    await uploads.discard(GRANT.customer_id, GRANT.session_id, kept)
    await uploads.discard("nobody", uuid4(), kept)


def test_a_sweep_removes_unfinished_uploads_that_nobody_has_written_to_for_so_long(uploads: LocalDiskUploads, directory: Path) -> None:
    abandoned, under_way = (directory / "incoming" / f"{uuid4()}.incoming" for _ in range(2))
    for path, age in ((abandoned, 3_601), (under_way, 3_540)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)

    uploads.sweep(timedelta(hours=1))

    assert files(directory) == [under_way]


async def test_a_sweep_touches_nothing_but_our_own_temporary_files(uploads: LocalDiskUploads, directory: Path) -> None:
    await uploads.keep(GRANT, stream(b"kept"))
    for name in ("notes.txt", f"{uuid4()}", f"{uuid4()}.incoming.bak", f"x{uuid4()}.incoming", "..incoming"):
        (directory / "incoming" / name).write_bytes(b"not ours")
    for path in files(directory):
        os.utime(path, (0, 0))
    before = files(directory)

    uploads.sweep(timedelta(0))

    assert sorted(files(directory)) == sorted(before)


async def test_what_a_killed_process_leaves_behind_is_swept(uploads: LocalDiskUploads, directory: Path) -> None:
    async def looked_at() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        (path,) = files(directory)
        os.link(path, path.with_name(f"{uuid4()}.incoming"))  # as the file would stay if the process ended here
        raise UploadInterrupted

    with pytest.raises(UploadInterrupted):
        await uploads.keep(GRANT, looked_at())
    assert len(files(directory)) == 1

    uploads.sweep(timedelta(0))

    assert files(directory) == []


def test_sweeps_of_several_processes_do_not_trip_over_each_other(uploads: LocalDiskUploads, directory: Path, mocker: MockerFixture) -> None:
    path = directory / "incoming" / f"{uuid4()}.incoming"
    mocker.patch.object(Path, "iterdir", return_value=iter([path]))  # seen here, and removed by another process meanwhile

    uploads.sweep(timedelta(0))
