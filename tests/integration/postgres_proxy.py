"""Stands between the service and its database, and takes messages of PostgreSQL's protocol apart, to cut or to freeze at any of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final

from sqlalchemy.engine import make_url

GONE: Final = (OSError, asyncio.IncompleteReadError)


class Fault(Enum):
    """What happens to a connection."""

    CUT = "cut"
    """Both sides see it closed."""
    FREEZE = "freeze"
    """Both sides see it open, and nothing passes any more."""


class Trap:
    """Waits for a message: the one that comes after `passed` others, on whatever connection, counted from when the trap is set."""

    def __init__(self, passed: int, fault: Fault, *, after: bool = False) -> None:
        """`after`: the message itself still arrives."""
        self.left = passed
        self.fault = fault
        self.after = after
        self.sprung: str | None = None
        """The message that it was, such as `Q` from the service or `<C` from the database."""

    def springs_at(self, message: str) -> bool:
        if self.sprung is None and self.left == 0:
            self.sprung = message
            return True
        self.left -= 1
        return False


class Link:
    """One connection of the service's, and the one to the database behind it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.frozen = False
        self._writers = writers

    def suffer(self, fault: Fault) -> None:
        if fault is Fault.FREEZE:
            self.frozen = True
        else:
            self.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class PostgresProxy:
    """Listens on a port of its own. All of it happens on an event loop in a thread of its own."""

    def __init__(self, database_url: str) -> None:
        self.target = make_url(database_url)
        """Where new connections lead to."""
        self.trap: Trap | None = None
        self.opened = 0
        self._loop = asyncio.new_event_loop()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The database's address by way of the proxy."""
        return f"postgresql://{self.target.username}@127.0.0.1:{self._port}/{self.target.database}?sslmode=disable"

    def suffer(self, fault: Fault) -> None:
        """What is open now; what is opened later is well."""
        self._do(self._suffer, fault)

    def lead_to(self, database_url: str) -> None:
        """From now on, new connections."""
        self.target = make_url(database_url)

    @contextmanager
    def running(self) -> Iterator["PostgresProxy"]:
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._connect, "127.0.0.1", 0), self._loop).result()
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _do(self, action: Callable[..., None], *arguments: object) -> None:
        done = threading.Event()

        def act() -> None:
            action(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait()

    def _suffer(self, fault: Fault) -> None:
        for link in list(self._links):
            link.suffer(fault)

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        for link in list(self._links):
            link.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        path = f"{self.target.query['host']}/.s.PGSQL.{self.target.query['port']}"
        try:
            from_database, to_database = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        link = Link(writer, to_database)
        self._links.add(link)
        ways = [
            asyncio.ensure_future(self._pass_on(link, reader, to_database, greets=True)),
            asyncio.ensure_future(self._pass_on(link, from_database, writer, greets=False)),
        ]
        self._tasks.update(ways)
        await asyncio.wait(ways)
        self._tasks.difference_update(ways)
        self._links.discard(link)
        link.close()

    async def _pass_on(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, greets: bool) -> None:
        """Until either side closes. A side that closes a frozen connection closes it for itself only."""
        with suppress(*GONE):
            async for kind, message in _messages(reader, greets):
                trap = self.trap
                springs = not link.frozen and trap is not None and trap.springs_at(kind if greets else f"<{kind}")
                if springs and trap is not None and not trap.after:
                    link.suffer(trap.fault)
                if link.frozen or writer.is_closing():
                    continue
                writer.write(message)
                if springs and trap is not None and trap.after:
                    await writer.drain()
                    link.suffer(trap.fault)
        if not link.frozen:
            link.close()


async def _messages(reader: asyncio.StreamReader, greets: bool) -> AsyncIterator[tuple[str, bytes]]:
    """Their letters, and they themselves. The first one of whoever opens a connection has no letter."""
    while True:
        letter = b"" if greets else await reader.readexactly(1)
        size = await reader.readexactly(4)
        body = await reader.readexactly(int.from_bytes(size) - 4)
        yield letter.decode() or "startup", letter + size + body
        greets = False
