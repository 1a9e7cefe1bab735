"""Connections as a stranger makes them: bytes, and no HTTP library that would mend them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.integration.service import Service

SECONDS_MAX = 20


class RawAnswer(NamedTuple):
    """One answer. Where nothing was answered, the status is 0."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> Any:
        return json.loads(self.body)["detail"]


@contextmanager
def connected(service: Service) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS_MAX) as connection:
        yield connection


def head(method: str, path: str, *lines: str, host: bool = True) -> bytes:
    """A request's head as it should be."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(["Host: tollgate"] if host else []), *lines, "", ""]).encode()


def all_of(connection: socket.socket) -> bytes:
    """Whatever comes until the service closes the connection; it does so within the time-out, or the test fails."""
    deadline = time.monotonic() + SECONDS_MAX
    found = b""
    while time.monotonic() < deadline:
        try:
            chunk = connection.recv(1 << 16)
        except ConnectionResetError:
            return found
        if not chunk:
            return found
        found += chunk
    raise AssertionError(f"The connection is still open after {SECONDS_MAX} s: {found[:200]!r}")


def answers_in(raw: bytes) -> list[RawAnswer]:
    """The answers, which say their length."""
    found = []
    while raw:
        top, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        found.append(RawAnswer(int(first.split()[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


def exchange(service: Service, *pieces: bytes) -> list[RawAnswer]:
    """What is answered to these bytes until the service closes the connection."""
    with connected(service) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        return answers_in(all_of(connection))


def reads_one(connection: socket.socket) -> RawAnswer:
    """The next answer on a connection that stays."""
    found = b""
    while b"\r\n\r\n" not in found or len(answers_in(found)[0].body) < int(answers_in(found)[0].headers.get("content-length", 0)):
        chunk = connection.recv(1 << 16)
        assert chunk, found
        found += chunk
    (answer,) = answers_in(found)
    return answer
