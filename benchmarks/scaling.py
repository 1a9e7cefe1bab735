"""Decisions a second for 1, 2 and as many server processes as there are cores, and how long a decision takes at 80 % of that."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import Result
from benchmarks.stage import Database, Server

SHARE = 0.8
"""Of what is reached at most, so that what is measured is the time of an answer and not the length of a queue."""

CONNECTIONS = 64


@dataclass(frozen=True)
class Reached:
    """By so many processes, for one kind of customers."""

    processes: int
    customers: str
    most: float
    loaded: Sequence[Result]
    """What each load generator saw at 80 %."""

    def row(self) -> str:
        middle, high, highest = (max(getattr(one, name) for one in self.loaded) for name in ("median_ms", "p99_ms", "p999_ms"))
        rate = sum(one.per_second for one in self.loaded)
        return f"| {self.processes} | {self.customers} | {self.most:,.0f} | {rate:,.0f} | {middle:.1f} | {high:.1f} | {highest:.1f} |"


def measured(database: Database, directory: Path, paths: dict[str, list[str]], seconds: float) -> list[Reached]:
    """For each number of processes in turn; `paths` are those of each kind of customers."""
    cores = psutil.cpu_count() or 1
    found = []
    for processes in sorted({1, 2, cores}):
        generators = max(1, processes // 2)
        server = Server(database.url, directory, 8940 + processes, workers=processes)
        try:
            for customers, targets in paths.items():
                _load(server, targets, 1.5, generators)  # until each process has its connections and its plans
                most = sum(one.per_second for one in _load(server, targets, seconds, generators))
                loaded = _load(server, targets, 2 * seconds, generators, rate=SHARE * most / generators)
                found.append(Reached(processes, customers, most, loaded))
        finally:
            server.stop()
    return found


def _load(server: Server, paths: list[str], seconds: float, generators: int, rate: float = 0) -> list[Result]:
    with ThreadPoolExecutor(generators) as pool:
        jobs = [pool.submit(server.load, paths, seconds, connections=CONNECTIONS, rate=rate) for _ in range(generators)]
        return [job.result() for job in jobs]


def table(found: Sequence[Reached]) -> list[str]:
    """As Markdown; nothing where nothing was measured."""
    if not found:
        return []
    return [
        f"| processes | customers | decisions a second | at {SHARE:.0%} | p50, ms | p99, ms | p99.9, ms |",
        "|---|---|---|---|---|---|---|",
        *(one.row() for one in found),
    ]
