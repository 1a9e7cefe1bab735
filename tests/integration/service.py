"""The service as those who run and call it meet it: real processes, real HTTP, a real PostgreSQL."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import asyncpg
import httpx
import jwt
from sqlalchemy.engine import make_url

ROOT = Path(__file__).parents[2]
PLANS = ROOT / "plans.yaml"
TOLLGATE = Path(sys.executable).with_name("tollgate")
ADMIN_KEY = "tg_the-admin-key-of-the-integration-tests"
JWT_SECRET = "the secret that signs the user tokens of the integration tests, and is long enough"
HEEDS_CTRL_C = (
    *(sys.executable, "-I", "-S", "-c"),
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)
"""Before a command: Ctrl-C ends it, also where the tests run in the background of a script. What a shell starts there ignores Ctrl-C."""
START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60

T = TypeVar("T")


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these settings of Tollgate's, and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
    return inherited | {f"TOLLGATE_{name.upper()}": str(value) for name, value in settings.items() if value is not None}


def tollgate(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    command = [str(TOLLGATE), *map(str, arguments)]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=START_SECONDS_MAX, check=False)


def until(condition: Callable[[], T], seconds_max: float = 60, expected: str = "a condition to hold") -> T:
    """What the condition returns, as soon as that is true."""
    deadline = time.monotonic() + seconds_max
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds_max} s for {expected}"
        time.sleep(0.02)
    return result


class Database:
    """Looks into, and changes, what the service has stored."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [dict(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def value(self, statement: str, *values: object) -> Any:
        (row,) = self.rows(statement, *values)
        (value,) = row.values()
        return value

    def used(self, customer_id: str, feature: str) -> tuple[int, int]:
        """The counter, and the ledger's sum, over the period that the counter counts; in smallest parts."""
        statement = """
            SELECT c.used, coalesce(sum(r.quantity), 0)::bigint AS ledger FROM usage_counter AS c
            LEFT JOIN usage_record AS r ON r.customer_id = c.customer_id AND r.feature = c.feature
                AND r.occurred_at >= c.period_start AND r.occurred_at < c.period_end
            WHERE c.customer_id = $1 AND c.feature = $2 GROUP BY c.used
        """
        (row,) = self.rows(statement, customer_id, feature)
        return row["used"], row["ledger"]


class Databases:
    """Hands out fresh databases: copies of a migrated one. `server_url` leads to another database of the same server."""

    TEMPLATE = "template_of_the_tests"

    def __init__(self, server_url: str) -> None:
        self.server = Database(server_url)
        self.template_url = self._create(self.TEMPLATE)
        self._numbers = count(1)

    def fresh(self) -> str:
        return self._create(f"test_{next(self._numbers)}", self.TEMPLATE)

    def empty(self) -> str:
        return self._create(f"test_{next(self._numbers)}")

    def drop(self, url: str) -> None:
        self.server.rows(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _create(self, name: str, template: str = "template0") -> str:
        self.server.rows(f"CREATE DATABASE {name} TEMPLATE {template}")
        return make_url(self.server.url).set(database=name).render_as_string(hide_password=False)


class Service:
    """One `tollgate serve`, in a process group of its own, as under a terminal. As a context manager it is started and stopped."""

    def __init__(
        self,
        database_url: str | None = None,
        *,
        data_dir: Path | None = None,
        port: int = 0,
        workers: int = 1,
        plans: Path | None = PLANS,
        arguments: Iterable[object] = (),
        **settings: object,
    ) -> None:
        self._stack = ExitStack()
        self.data_dir = data_dir or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-test-")))
        files = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-output-")))
        self._out, self._err = files / "stdout", files / "stderr"
        flags = ["--port", port, "--data-dir", self.data_dir, "--workers", workers, *(["--plans", plans] if plans else [])]
        self._command = [*HEEDS_CTRL_C, str(TOLLGATE), "serve", *map(str, flags), *map(str, arguments)]
        self._environment = environment(**({"database_url": database_url, "admin_key": ADMIN_KEY, "jwt_secret": JWT_SECRET} | settings))
        self._database_url = database_url

    def begin(self) -> Self:
        """Starts the process, and does not wait for it."""
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=out, stderr=err, start_new_session=True)
        return self

    def until_ready(self) -> Self:
        until(lambda: self.ended or "is ready at" in self.output, START_SECONDS_MAX, "the service to say where it listens")
        until(lambda: self.ended or self._is_ready(), START_SECONDS_MAX, "/readyz")
        assert not self.ended, f"The service ended:\n{self.output}\n{self.errors}"
        return self

    def stop(self) -> None:
        """Asks the service to end, and expects that it does so without complaint."""
        self.process.terminate()
        status = self.wait()
        self.discard()
        assert status == 0, self.errors
        assert "Traceback" not in self.errors, self.errors

    def wait(self) -> int:
        return self.process.wait(STOP_SECONDS_MAX)

    def discard(self) -> None:
        """Gives up what it had; kill -9 of whatever still runs of it."""
        self.kill_group()
        self._errors_at_the_end = self.errors
        self._stack.close()

    def kill_group(self) -> None:
        """kill -9 of the service and its workers, if there are any left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()

    def __enter__(self) -> Self:
        try:
            return self.begin().until_ready()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, *raised: object) -> None:
        try:
            if not self.ended:
                self.stop()
        finally:
            self.discard()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._err.read_text() if self._err.exists() else self._errors_at_the_end

    @cached_property
    def address(self) -> str:
        found = re.search(r"is ready at (\S+)", self.output)
        assert found, self.output
        return found[1]

    @property
    def port(self) -> int:
        port = httpx.URL(self.address).port
        assert port is not None
        return port

    @cached_property
    def database(self) -> Database:
        assert self._database_url
        return Database(self._database_url)

    @cached_property
    def anyone(self) -> httpx.Client:
        """A client without credentials."""
        return self.client({})

    @cached_property
    def admin(self) -> httpx.Client:
        return self.key(ADMIN_KEY)

    def key(self, text: str, customer_id: str | None = None) -> httpx.Client:
        """A client with a service key, for this customer on the product routes."""
        return self.client({"Authorization": f"Bearer {text}"} | ({"Tollgate-Customer": customer_id} if customer_id else {}))

    def user(self, customer_id: str) -> httpx.Client:
        """A client with a user token."""
        return self.client({"Authorization": f"Bearer {user_token(customer_id)}"})

    def client(self, headers: Mapping[str, str]) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, timeout=30, transport=self._connections)

    @cached_property
    def _connections(self) -> httpx.HTTPTransport:
        """All clients' connections. One is given up sooner than the service would close it, which might cross with a request."""
        limits = httpx.Limits(max_connections=100, keepalive_expiry=2)
        return self._stack.enter_context(httpx.HTTPTransport(verify=False, trust_env=False, limits=limits))

    def _is_ready(self) -> bool:
        try:
            return self.anyone.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


def user_token(customer_id: str, secret: str = JWT_SECRET, algorithm: str = "HS256", **claims: object) -> str:
    """A token as an application would sign it; a claim of None is left out."""
    all_claims = {"sub": customer_id, "exp": int(time.time()) + 3600} | claims
    return jwt.encode({name: value for name, value in all_claims.items() if value is not None}, secret, algorithm)


def new_id(prefix: str = "customer") -> str:
    """An id that nothing has had before."""
    return f"{prefix}-{uuid4().hex[:12]}"


@contextmanager
def serving(database_url: str, processes: int = 1) -> Iterator[list[Service]]:
    """Independent services on one database, started one after the other, as a rolling deployment would."""
    with ExitStack() as stack:
        yield [stack.enter_context(Service(database_url)) for _ in range(processes)]


def refused(response: httpx.Response, status: int, error: str) -> dict[str, Any]:
    """What the refusal tells, which has to be this one."""
    assert response.status_code == status, response.text
    detail: dict[str, Any] = response.json()["detail"]
    assert detail["error"] == error, detail
    assert detail["message"], detail
    return detail
