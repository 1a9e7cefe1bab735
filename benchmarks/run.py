"""Plays the contestants against each other, in turns, on one PostgreSQL and one machine, and prints ratios.

python -m benchmarks.run            several rounds, writes benchmarks/results/DATE.md
python -m benchmarks.run --quick    one short round, a line for each bar; exit status 1 where one is missed by more than a tenth
"""

import argparse
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

import psutil

from benchmarks import bars, scaling, stage
from benchmarks.stage import Database, Server

USAGE = "/api/v1/customers/{}/usage"
FASTAPI_USAGE = "/bench/fastapi/customers/{}/usage"
SPREAD = [USAGE.format(f"c{n}") for n in range(stage.CUSTOMERS)]
FASTAPI_SPREAD = [FASTAPI_USAGE.format(f"c{n}") for n in range(stage.CUSTOMERS)]
SQL_SPREAD = [f"/bench/sql/c{n}" for n in range(stage.CUSTOMERS)]
BULK_SIZE = 1_000
GRANTS = 3
EVENTS = "application/cloudevents-batch+json"


@dataclass(frozen=True)
class Plan:
    """How long it all takes. `history` ledger records, `hot_history` of them the hot customer's; and `long_history`
    more of six months; how processes scale, if there is time."""

    rounds: int
    seconds: float
    history: int
    hot_history: int
    long_history: int
    scaling_seconds: float | None = None


FULL = Plan(rounds=7, seconds=1.5, history=5_000_000, hot_history=100_000, long_history=6_000_000, scaling_seconds=3)
QUICK = Plan(rounds=1, seconds=0.8, history=300_000, hot_history=50_000, long_history=300_000)


class Contest:
    """The contestants' servers, and their turns."""

    def __init__(self, plan: Plan, empty: Database, full: Database, directory: Path) -> None:
        self.plan = plan
        self.empty, self.full = empty, full
        self.server = Server(empty.url, directory, 8931)
        self.with_history = Server(full.url, directory, 8932)
        self.wrong = 0

    def stop(self) -> None:
        self.server.stop()
        self.with_history.stop()

    def warm_up(self) -> None:
        for customer_id in ("granted", "burning"):
            self.server.grant(customer_id, GRANTS)
            self.server.load([USAGE.format(customer_id)], 0.4)
        for server in (self.server, self.with_history):
            for paths in ([USAGE.format("hot")], [FASTAPI_USAGE.format("hot")], ["/bench/noop/hot"], ["/bench/sql/hot"]):
                server.load(paths, 0.4)
        self._messages("/api/v1/messages", "warm")  # opens the conversations, which is more than going on with them

    def round(self, number: int) -> dict[str, float]:
        """Each contestant once; requests or decisions a second, latencies in milliseconds."""
        seconds, server = self.plan.seconds, self.server
        run = f"{number}-{uuid4().hex[:8]}"
        rates = {
            "no-op": server.load(["/bench/noop/hot"], seconds).per_second,
            "empty": server.load(["/bench/empty"], seconds).per_second,
            "fastapi hot": server.load([FASTAPI_USAGE.format("hot")], seconds).per_second,
            "hot": server.load([USAGE.format("hot")], seconds).per_second,
            "granted": server.load([USAGE.format("granted")], seconds).per_second,
            "burning": server.load([USAGE.format("burning")], seconds).per_second,
            "hot with history": self.with_history.load([USAGE.format("hot")], seconds).per_second,
            "fastapi spread": server.load(FASTAPI_SPREAD, seconds).per_second,
            "spread": server.load(SPREAD, seconds).per_second,
            "sql hot": server.load(["/bench/sql/hot"], seconds).per_second,
            "sql spread": server.load(SQL_SPREAD, seconds).per_second,
            "seed with history": self.with_history.load(["/bench/seed/hot"], seconds).per_second,
            "pgbench hot": self.empty.pgbench("hot", seconds),
            "pgbench spread": self.empty.pgbench("spread", seconds),
            "no-op status": server.load(["/bench/noop/hot"], seconds, bodies="nothing", method="GET").per_second,
            "fastapi status": server.load([FASTAPI_USAGE.format("hot")], seconds, bodies="nothing", method="GET").per_second,
            "status": server.load([USAGE.format("hot")], seconds, bodies="nothing", method="GET").per_second,
            "lone latency": server.load([USAGE.format("hot")], seconds, connections=1).median_ms,
            "fastapi lone latency": server.load([FASTAPI_USAGE.format("hot")], seconds, connections=1).median_ms,
            "lone sql latency": server.load(["/bench/sql/hot"], seconds, connections=1).median_ms,
            **self.histories(),
            "batch": self._batch(),
            "fastapi messages": self._messages("/bench/fastapi/messages", f"f{run}"),
            "messages": self._messages("/api/v1/messages", run),
            "fastapi sessions": server.load(["/bench/fastapi/sessions"], seconds, bodies="session", customer="coach").per_second,
            "sessions": server.load(["/api/v1/sessions"], seconds, bodies="session", customer="coach").per_second,
            "bulk events": self._events(run),
            "copy": self._copy(),
            **server.client("hot", seconds),
        }
        rates["memory"] = server.resident_mb
        self._tight(number)
        self.wrong += self.empty.wrong_counters() + self.full.wrong_counters()
        return rates

    def histories(self) -> dict[str, float]:
        """How long six months take to read, in milliseconds."""
        path = f"{USAGE.format(stage.LONG)}/history"
        questions = {"history": path, "history by day": f"{path}?by=day&since={stage.long_ago()}"}
        return {
            f"{ledger} {name}": server.load([question], self.plan.seconds, bodies="nothing", method="GET", connections=1).median_ms
            for name, question in questions.items()
            for ledger, server in (("empty", self.server), ("long", self.with_history))
        }

    def _batch(self) -> float:
        arguments = {"size": BULK_SIZE, "subject": "hot"}
        done = self.server.load(["/api/v1/usage/batch"], self.plan.seconds, bodies="batch", connections=4, **arguments)
        return done.per_second * BULK_SIZE

    def _events(self, run: str) -> float:
        count = max(20, int(self.plan.seconds * 60))
        arguments = {"size": BULK_SIZE, "count": count, "customers": 100, "run": run}
        done = self.server.load(
            ["/api/v1/events"], self.plan.seconds, bodies="events", connections=4, content_type=EVENTS, once=True, **arguments
        )
        return done.per_second * BULK_SIZE

    def _messages(self, path: str, run: str) -> float:
        count = int(self.plan.seconds * 12_000)
        arguments = {"count": count, "counterparties": 1_000, "run": run}
        done = self.server.load([path], self.plan.seconds, bodies="messages", customer="hot", once=True, **arguments)
        return done.per_second

    def _copy(self) -> float:
        """The ledger rows of the bulk test, straight into an identically indexed table."""
        columns = "(LIKE usage_record INCLUDING ALL)"
        with tempfile.TemporaryDirectory(prefix="tollgate-copy-") as directory:
            Path(directory).chmod(0o777)
            rows = f"{directory}/rows"
            self.empty.run(
                "DROP TABLE IF EXISTS bench_copy",
                f"CREATE TABLE bench_copy {columns}",
                f"COPY (SELECT * FROM usage_record WHERE source = 'bench' ORDER BY recorded_at DESC LIMIT 60000) TO '{rows}'",
            )
            started = time.perf_counter()
            self.empty.run(f"COPY bench_copy FROM '{rows}'")
            elapsed = time.perf_counter() - started
        return int(self.empty.run("SELECT count(*) AS rows FROM bench_copy")[0]["rows"]) / elapsed

    def _tight(self, number: int) -> None:
        """One customer, driven into its limit by 64 connections: exactly the limit is admitted."""
        done = self.server.load([USAGE.format(f"tight{number}")], max(self.plan.seconds, 2.0), may_refuse=True)
        admitted, refused = done.statuses.get("200", 0), done.statuses.get("403", 0)
        if refused and admitted != stage.TIGHT_LIMIT:
            self.wrong += 1


def main() -> int:
    """Runs the contest, prints what it gave, and says by the exit status whether all bars were reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    plan = QUICK if quick else FULL
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as scratch, stage.postgres(Path(scratch)) as url:
        empty, full = Database(url, "empty"), Database(url, "full")
        print(f"Filling a ledger with {plan.history:,} records ...", flush=True)
        full.add_history(plan.history, plan.hot_history, plan.long_history)
        contest = Contest(plan, empty, full, Path(scratch))
        try:
            contest.warm_up()
            rounds = []
            for number in range(plan.rounds):
                rounds.append(contest.round(number))
                print(f"round {number + 1} of {plan.rounds} done after {time.perf_counter() - started:.0f} s", flush=True)
            memory = (
                f"server process: started in {contest.server.start_seconds:.1f} s, {contest.server.resident_mb:.0f} MB resident at the end"
            )
        finally:
            contest.stop()
        scaled = scaling.table(_scaling(plan, empty, Path(scratch)))
    found = bars.reached(rounds)
    lines = [item.line() for item in found]
    lines.append(f"overshoot or drift after {plan.rounds} round(s): {contest.wrong or 'none'}")
    lines.append(memory)
    rates = ", ".join(f"{name} {median(one[name] for one in rounds):,.4g}" for name in rounds[0])
    print("\n".join(["", *lines, *scaled, f"per second, latencies in ms: {rates}"]))
    if not quick:
        report = _report(rounds, found, lines, scaled)
        file = stage.ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d}.md"  # noqa: TID251
        file.write_text(report)
        print(f"\n{report}\nWritten to {file.relative_to(stage.ROOT)}")
    missed = any(not (item.nearly if quick else item.ok) for item in found)
    return 1 if missed or contest.wrong else 0


def _scaling(plan: Plan, database: Database, directory: Path) -> list[scaling.Reached]:
    if plan.scaling_seconds is None:
        return []
    paths = {"one, hot": [USAGE.format("hot")], f"{stage.CUSTOMERS:,}": SPREAD}
    return scaling.measured(database, directory, paths, plan.scaling_seconds)


def _processor() -> str:
    """Its name where Linux tells it, or else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _report(rounds: list[dict[str, float]], found: list[bars.Reached], lines: list[str], scaled: list[str]) -> str:
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    machine = f"{cores} cores ({_processor()}) shared by everything, {memory:.0f} GiB, {platform.system()}"
    rows = []
    for name in rounds[0]:
        found_rates = [one[name] for one in rounds]
        rows.append(f"| {name} | {median(found_rates):,.1f} | {min(found_rates):,.1f} - {max(found_rates):,.1f} |")
    ratios = [
        f"| {item.bar.number} | {item.bar.title} | {item.ratio:.2f} | {min(item.ratios):.2f} - {max(item.ratios):.2f} |"
        f" {'≤' if item.bar.at_most else '≥'} {item.bar.bound:g} | {'yes' if item.ok else 'no'} |"
        for item in found
    ]
    return "\n".join(
        [
            f"# {datetime.now(UTC):%Y-%m-%d}",  # noqa: TID251
            "",
            f"`make bench`, {len(rounds)} rounds, contestants in turns. {machine},",
            f"Python {platform.python_version()}, PostgreSQL 18, fsync on.",
            "",
            "| bar | ratio | median | spread | wanted | reached |",
            "|---|---|---|---|---|---|",
            *ratios,
            "",
            "| contestant | median (per second; latencies in ms) | spread |",
            "|---|---|---|",
            *rows,
            "",
            *scaled,
            "",
            *(f"- {line}" for line in lines[-2:]),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
