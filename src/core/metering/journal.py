"""What a unit of work did so far, so that a command that is refused leaves nothing behind."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final = object()


class Journal:
    """How to take back each step, in the order of the steps. One for a unit of work: its accounts and its repositories write to it."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def put(self, memory: dict[K, V], key: K, value: V) -> None:
        """`memory[key] = value`, so that it can be taken back."""
        self._steps.append((_restore, (memory, key, memory.get(key, _ABSENT))))
        memory[key] = value

    def drop(self, memory: dict[K, V], key: K) -> None:
        """Removes the key, if it is there, so that it can be put back."""
        if key in memory:
            self._steps.append((_restore, (memory, key, memory.pop(key))))

    def add(self, memory: list[V], value: V) -> None:
        """`memory.append(value)`, so that it can be taken back."""
        self._steps.append((memory.pop, ()))
        memory.append(value)

    def mark(self) -> int:
        """A point to return to by `undo`."""
        return len(self._steps)

    def undo(self, mark: int) -> None:
        """Takes back all that was done since the mark, the last step first."""
        while len(self._steps) > mark:
            take_back, arguments = self._steps.pop()
            take_back(*arguments)


def _restore(memory: dict[K, Any], key: K, before: Any) -> None:
    if before is _ABSENT:
        del memory[key]
    else:
        memory[key] = before
