"""Admitted decisions that could not be booked: put aside with the reason, for somebody to look at."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from core.errors import DomainError
from core.outage.admitted import AdmittedUsage
from infrastructure.outage import measures
from infrastructure.outage.lines import to_json

DEAD_LETTERS: Final = "rejected.ndjson"

logger: Final = logging.getLogger("tollgate")


class Rejected(NamedTuple):
    """A decision that is told as booked, and why it cannot be."""

    decision: AdmittedUsage
    error: DomainError


class DeadLetters:
    """A file that is only added to. After a crash, a decision may be in it twice; it has its key."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock

    def add(self, rejected: Sequence[Rejected]) -> None:
        """Durable when it returns. Raises OSError."""
        self._write([(type(error).__name__, {"message": error.message, "decision": to_json(decision)}) for decision, error in rejected])

    def add_unreadable(self, lines: Sequence[tuple[bytes, str]]) -> None:
        """Lines that are no decisions, as they are, and what is wrong with them. Durable when it returns. Raises OSError."""
        self._write([("Unreadable", {"message": why, "line": line.decode("latin-1")}) for line, why in lines])

    def _write(self, letters: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        lines = []
        for reason, content in letters:
            lines.append(json.dumps({"at": self._clock().isoformat(), "reason": reason, **content}).encode() + b"\n")
            measures.REJECTED.labels(reason).inc()
            logger.error("An admitted decision cannot be booked (%s); it is kept in %s", reason, self._path)
        if not lines:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(descriptor)
