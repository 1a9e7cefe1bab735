"""What differs between the two clients: how one waits, locks, and works beside the caller. The twin is written by hand."""

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

Lock = threading.Lock
"""Held while something is waited for."""

Mutex = threading.Lock
"""Held for a moment."""

sleep = time.sleep


class Beside:
    """Work beside the caller's, such as extending a hold while its body runs: one thread for all of a client's, once there is any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._called_off: set[int] = set()
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def later(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        """Does the work once, then; what is returned calls it off. The work sees to its own errors."""
        number = next(self._numbers)
        with self._changed:
            if not self._closed:
                heapq.heappush(self._due, (time.monotonic() + seconds, number, work))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="tollgate-client", daemon=True)
                    self._thread.start()
                self._changed.notify()

        def call_off() -> None:
            with self._changed:
                if any(waiting == number for _, waiting, _ in self._due):
                    self._called_off.add(number)

        return call_off

    def close(self) -> None:
        """Ends all of it."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        """What is due, once it is; None at the end."""
        with self._changed:
            while not self._closed:
                if not self._due:
                    self._changed.wait()
                elif (seconds := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(seconds)
                else:
                    _, number, work = heapq.heappop(self._due)
                    if number not in self._called_off:
                        return work
                    self._called_off.discard(number)
        return None
