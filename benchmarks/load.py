"""A load generator that costs little: keep-alive connections, requests made beforehand, answers read by their length.

Run as a program, it reads a job from standard input and prints the result, so that it has an interpreter of its own.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks import bodies


@dataclass(frozen=True, slots=True)
class Job:
    """What to send. Each connection sends its share of the bodies in turn for `seconds`, over and over unless `once`.

    `bodies` names a function of benchmarks.bodies, `arguments` are its arguments. With a `rate`, so many requests a second become due over
    all connections, and each one's latency counts from when it was due; without one, the next leaves when the last answer is complete.
    """

    url: str
    paths: list[str]
    bodies: str
    headers: dict[str, str]
    connections: int
    seconds: float
    method: str = "POST"
    arguments: dict[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    once: bool = False
    rate: float = 0


@dataclass(slots=True)
class Result:
    """What came back. Latencies in milliseconds."""

    per_second: float
    statuses: dict[str, int]
    median_ms: float
    p99_ms: float
    p999_ms: float
    sample: str = field(default="")


class Connection(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the last answer is complete, or when it is due."""

    def __init__(self, requests: list[bytes], finished: "asyncio.Future[None]", *, once: bool, interval: float, delay: float) -> None:
        self._requests = requests
        self._once = once
        self._interval = interval
        self._delay = delay
        self._finished = finished
        self._next = 0
        self._buffer = b""
        self._length = 0
        self._sent_at = 0.0
        self.until = float("inf")
        self.latencies: list[float] = []
        self.statuses: dict[bytes, int] = {}
        self.sample = ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._follow(time.perf_counter(), self._delay)

    def _follow(self, due: float, wait: float) -> None:
        """The next request: now, or when it is due."""
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._send, due + wait)
        else:
            self._send(due)

    def _send(self, due: float) -> None:
        self._sent_at = due
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._length:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            at = self._buffer.find(b"content-length: ", 0, head)  # uvicorn writes names in lower case
            self._length = head + 4 + (int(self._buffer[at + 16 : self._buffer.find(b"\r\n", at)]) if at >= 0 else 0)
        if len(self._buffer) < self._length:
            return
        now = time.perf_counter()
        self.latencies.append(now - self._sent_at)
        status = self._buffer[9:12]
        if status not in self.statuses:
            self.sample = self._buffer[-300:].decode(errors="replace")
            self.statuses[status] = 0
        self.statuses[status] += 1
        self._buffer, self._length = b"", 0
        exhausted = self._once and self._next == 0
        due = self._sent_at + self._interval if self._interval else now
        if now < self.until and due < self.until and not exhausted:
            self._follow(min(due, now), due - now)
        else:
            self._transport.close()
            self._finished.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._finished.done():
            self.statuses[b"lost"] = 1
            self._finished.set_result(None)


async def run(job: Job) -> Result:
    """Loads the server and counts what it answered."""
    loop = asyncio.get_running_loop()
    address = urlsplit(job.url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": address.netloc, **job.headers}.items())
    made: list[str] = getattr(bodies, job.bodies)(**job.arguments)
    requests = []
    for index in range(max(len(job.paths), len(made))):
        path, body = job.paths[index % len(job.paths)], made[index % len(made)].encode()
        head = f"{job.method} {path} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\nContent-Type: {job.content_type}\r\n\r\n"
        requests.append(head.encode() + body)
    connections: list[Connection] = []
    finished = []
    interval = job.connections / job.rate if job.rate else 0.0
    started = time.perf_counter()
    for index in range(job.connections):
        done: asyncio.Future[None] = loop.create_future()
        share = requests[index :: job.connections] or requests
        _, connection = await loop.create_connection(
            lambda share=share, done=done, delay=interval * index / job.connections: Connection(
                share, done, once=job.once, interval=interval, delay=delay
            ),
            address.hostname,
            address.port,
        )
        connection.until = started + job.seconds
        connections.append(connection)
        finished.append(done)
    await asyncio.wait_for(asyncio.gather(*finished), job.seconds + 60)
    elapsed = time.perf_counter() - started
    latencies = sorted(latency for connection in connections for latency in connection.latencies)
    statuses: Counter[str] = Counter()
    for connection in connections:
        statuses.update({status.decode(): count for status, count in connection.statuses.items()})
    return Result(
        len(latencies) / elapsed,
        dict(statuses),
        1000 * latencies[len(latencies) // 2],
        1000 * latencies[int(len(latencies) * 0.99)],
        1000 * latencies[int(len(latencies) * 0.999)],
        connections[0].sample,
    )


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(asdict(uvloop.run(run(Job(**json.load(sys.stdin)))))))
