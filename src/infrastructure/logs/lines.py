"""Lines on standard output, written by a thread: whoever reads them slowly holds nothing up."""

import os
import queue
import select
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import Counter

WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
LEAVE_SECONDS_MAX: Final = 2.0

DROPPED: Final = Counter("tollgate_access_lines_dropped", "Lines of requests that were not written, since nobody took them in time.")


class OutputLines:
    """A process's. Beyond 8 MiB that wait, lines are dropped and counted."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._queue: queue.SimpleQueue[Sequence[bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._thread: threading.Thread | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        """Soon; waits for nothing."""
        size = sum(map(len, lines))
        with self._lock:
            if self._waiting_bytes + size > WAITING_BYTES_MAX:
                DROPPED.inc(len(lines))
                return
            self._waiting_bytes += size
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access lines", daemon=True)
            self._thread.start()
        self._queue.put(lines)

    def close(self) -> None:
        """What waits is written, unless nobody takes it."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(LEAVE_SECONDS_MAX)
            self._thread = None

    def _run(self) -> None:
        while (lines := self._queue.get()) is not None:
            try:
                for piece in _pieces(lines):
                    self._write(piece)
            except OSError:  # nobody reads any more
                DROPPED.inc(len(lines))
            with self._lock:
                self._waiting_bytes -= sum(map(len, lines))

    def _write(self, piece: bytes) -> None:
        while piece:
            try:
                piece = piece[os.write(self._descriptor, piece) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """As many lines as a pipe takes at once: those of several processes do not mix."""
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if gathered and size + len(line) > select.PIPE_BUF:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(line)
        size += len(line)
    if gathered:
        yield b"".join(gathered)
