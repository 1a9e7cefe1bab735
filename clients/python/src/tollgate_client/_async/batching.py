"""Concurrent decisions of one process share requests: while one batch is under way, the next one gathers. There are no timers."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tollgate_client import errors, models
from tollgate_client._async.primitives import Lock, sleep
from tollgate_client._requests import BATCH_SIZE_MAX

Item = dict[str, Any]
Result = dict[str, Any]


class _Waiting:
    __slots__ = ("item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | errors.TollgateError | None = None


class Batching:
    """Whoever comes first sends for all who wait by then; the others find their result when it is their turn."""

    def __init__(self, send: Callable[[list[Item]], Awaitable[list[Result]]]) -> None:
        self._send = send
        self._turn = Lock()
        self._queue: deque[_Waiting] = deque()

    async def decided(self, item: Item) -> models.Consumed:
        """The outcome of one decision. Each item has an idempotency key of its own, so that a batch may be sent twice."""
        waiting = _Waiting(item)
        self._queue.append(waiting)
        try:
            async with self._turn:
                while waiting.result is None:
                    await self._lead()
        except BaseException:
            with suppress(ValueError):  # whoever goes away before it was sent does not use anything
                self._queue.remove(waiting)
            raise
        result = waiting.result
        if isinstance(result, errors.TollgateError):
            raise result.with_traceback(None)
        assert result is not None
        if result["status"] >= 400:
            raise errors.error_of(result["status"], result["body"], {})
        return models.Consumed.model_validate(result["body"])

    async def _lead(self) -> None:
        await sleep(0)  # whoever asks at the same moment comes along
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE_MAX))]
        try:
            results = await self._send([waiting.item for waiting in batch])
        except errors.TollgateError as error:
            for waiting in batch:
                waiting.result = error
        except BaseException:
            # Whoever sent it goes away. The next in turn sends it again: the keys see to it that nothing is booked twice.
            self._queue.extendleft(reversed(batch))
            raise
        else:
            for waiting, result in zip(batch, results, strict=True):
                waiting.result = result
