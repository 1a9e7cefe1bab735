"""The Python client, in a process of its own: how many decisions a second 64 concurrent callers get, and how many a lease gives out.

Run as a program, it reads a job from standard input and prints the rates.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tollgate_client import AsyncTollgate, Tollgate

CALLERS = 64
CHUNK = 100_000


async def decided(url: str, key: str, customer_id: str, seconds: float, *, batching: bool) -> float:
    """Decisions a second, each of them waited for by its caller."""
    count = 0
    async with AsyncTollgate(url, key, batching=batching) as client:
        until = time.perf_counter() + seconds

        async def calling() -> None:
            nonlocal count
            while time.perf_counter() < until:
                await client.consume(customer_id, calls=1)
                count += 1

        started = time.perf_counter()
        await asyncio.gather(*[calling() for _ in range(CALLERS)])
        return count / (time.perf_counter() - started)


def leased(url: str, key: str, customer_id: str, seconds: float) -> float:
    """Local decisions a second, refills and commits included."""
    count = 0
    with Tollgate(url, key) as client, client.lease(customer_id, "calls", chunk=CHUNK) as lease:
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            for _ in range(1_000):
                lease.take()
            count += 1_000
    return count / elapsed


def main() -> None:
    """All three, one after the other."""
    job: dict[str, Any] = json.load(sys.stdin)
    single = asyncio.run(decided(**job, batching=False))
    batched = asyncio.run(decided(**job, batching=True))
    print(json.dumps({"client single": single, "client batched": batched, "client lease": leased(**job)}))


if __name__ == "__main__":
    main()
