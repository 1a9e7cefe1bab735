"""What differs between the two clients: how one waits, locks, and works beside the caller. The twin is written by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

Lock = asyncio.Lock
"""Held while something is waited for."""

Mutex = nullcontext
"""Held for a moment: nothing else runs meanwhile in an event loop."""

sleep = asyncio.sleep


class Beside:
    """Work beside the caller's, such as extending a hold while its body runs. Tasks of the running event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Does the work once, then; what is returned calls it off. The work sees to its own errors."""

        async def wait_and_work() -> None:
            await asyncio.sleep(seconds)
            await work()

        task = asyncio.get_running_loop().create_task(wait_and_work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def call_off() -> None:
            if task is not asyncio.current_task():
                task.cancel()

        return call_off

    async def close(self) -> None:
        """Ends all of it."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
