"""What connections may take."""

import resource
from dataclasses import dataclass
from typing import Final

HEAD_BYTES_MAX: Final = 64 * 1024
IDLE_SECONDS_MAX: Final = 5
"""For how long a connection is kept after an answer."""
PIPELINED_MAX: Final = 100
"""So many requests may wait on a connection for the answer to an earlier one. With more, these are answered, and it ends."""
LEAVE_SECONDS_MAX: Final = 2
"""So long what a refused caller goes on sending is thrown away: closed sooner, its answer could be lost on the way."""
SPARE_CONNECTIONS_MAX: Final = 100
"""Beyond the bound of connections, so that a health check gets its answer, and others a 503."""

_DESCRIPTORS_KEPT: Final = 256
"""For the database, files, pipes."""
_DESCRIPTORS_PER_CONNECTION: Final = 2
"""Its socket, and the file of an upload."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of each server process."""

    connections_max: int = 4096
    head_seconds_max: int = 10
    body_seconds_max: int = 30
    """Also for how long an answer may lie there of which the caller takes nothing."""
    body_bytes_per_second_min: int = 16 * 1024
    """A body may take longer than its seconds where it has come at this rate."""


def raise_descriptors() -> int:
    """Lets this process and those that it starts open as many files as the system allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_within(descriptors: int, wanted: int) -> int:
    """As many connections as wanted, or as there are descriptors for."""
    if descriptors < 0:  # RLIM_INFINITY
        return wanted
    return max(1, min(wanted, (descriptors - _DESCRIPTORS_KEPT - SPARE_CONNECTIONS_MAX) // _DESCRIPTORS_PER_CONNECTION))
