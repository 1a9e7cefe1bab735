"""What a unit of work did so far, so that a command that is refused leaves nothing behind."""

from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final = object()
"""Before the step, the key was not there."""
_ADDED: Final = object()
"""The step added something at the end of a list."""


class Journal:
    """How to take back each step, in the order of the steps. One for a unit of work: its accounts and its repositories write to it."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[tuple[Any, Any, Any]] = []  # the memory that changed, where in it, and what was there before

    def put(self, memory: dict[K, V], key: K, value: V) -> None:
        """`memory[key] = value`, so that it can be taken back."""
        self._steps.append((memory, key, memory.get(key, _ABSENT)))
        memory[key] = value

    def drop(self, memory: dict[K, V], key: K) -> None:
        """Removes the key, if it is there, so that it can be put back."""
        if key in memory:
            self._steps.append((memory, key, memory.pop(key)))

    def add(self, memory: list[V], value: V) -> None:
        """`memory.append(value)`, so that it can be taken back."""
        self._steps.append((memory, None, _ADDED))
        memory.append(value)

    def mark(self) -> int:
        """A point to return to by `undo`."""
        return len(self._steps)

    def undo(self, mark: int) -> None:
        """Takes back all that was done since the mark, the last step first."""
        while len(self._steps) > mark:
            memory, key, before = self._steps.pop()
            if before is _ADDED:
                memory.pop()
            elif before is _ABSENT:
                del memory[key]
            else:
                memory[key] = before
