"""The driver's connection, knowing how old it is, on a socket that finds out when nobody is left at the other end."""

import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import asyncpg

SILENT_SECONDS_MAX: Final = 6
"""So long the other machine may acknowledge nothing: neither what was sent to it, nor a question whether it is there."""

OPTIONS: Final[Mapping[str, int]] = {
    "TCP_KEEPIDLE": 3,  # seconds of silence before the first question
    "TCP_KEEPINTVL": 1,  # seconds from one question to the next
    "TCP_KEEPCNT": 3,  # questions without an answer
    "TCP_USER_TIMEOUT": SILENT_SECONDS_MAX * 1000,
}
"""Where a system does not have one of them, it is left out."""


class ServerConnection(asyncpg.Connection):
    """`born` is the moment of its making, as `time.monotonic` tells it."""

    __slots__ = ("born",)

    def __init__(self, protocol: Any, transport: Any, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        self.born = time.monotonic()
        watch(transport.get_extra_info("socket"))


def watch(sock: socket.socket) -> None:
    """Has the system close the connection when the other machine is silent. A socket that leads to no other machine stays as it is."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in OPTIONS.items():
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
