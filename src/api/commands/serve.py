"""Start the service: its directory, its port, its database, its plans, and then its server processes."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final
from urllib.parse import quote

import uvicorn
from jwt import PyJWTError
from prometheus_client import start_http_server
from pydantic import SecretStr
from uvicorn.supervisors import Multiprocess

from api.commands import CommandFailed, database, demo_data, plans, pooling
from api.commands.tokens import sign
from api.container import Container, takes_uploads
from api.operational import MULTIPROCESS, registry
from api.server.bounds import Bounds, connections_within, raise_descriptors
from api.server.front import Front
from api.settings import Settings, revealed
from core.customers.put_customer import PutCustomerCommand
from core.metering.account import CustomerNotFound
from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError
from infrastructure.embedded.postgres import EmbeddedPostgresError, require_programs
from infrastructure.logs.formats import set_up
from infrastructure.sql.upkeep.migrate import Standing

BACKLOG: Final = 2048
SHUTDOWN_SECONDS_MAX: Final = 20
"""What is still under way then is given up: container platforms wait 30 s before they kill a process."""
ADMIN_KEY: Final = "admin_key"
"""The name of the generated one in the data directory. It is shown once: what a start prints is kept in logs."""
EXAMPLE_PLAN: Final = "free"
EXAMPLE_TOKEN_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Options:
    """What `tollgate serve` was asked for."""

    host: str
    port: int
    workers: int
    example_customer: str | None
    migrate: bool = False
    show_admin_key: bool = False
    demo_data: bool = False
    metrics_port: int | None = None


def serve(settings: Settings, options: Options, say: Callable[[str], None]) -> None:
    """Serves until a signal ends it. Raises CommandFailed where it cannot start."""
    _exit_on_terminate()
    set_up(settings.log_format, settings.log_level, lambda: None)
    try:
        if settings.database_url is None:
            require_programs()
        with ExitStack() as stack:
            directory = stack.enter_context(DataDirectory(settings.data_dir))
            listener = stack.enter_context(_listening(options.host, options.port))
            front = _front(settings, say)
            is_embedded = settings.database_url is None
            key_is_ours = is_embedded and settings.admin_key is None
            shows_key = options.show_admin_key or not directory.has(ADMIN_KEY)
            if settings.database_url is None:
                settings = _with_secrets(settings, directory)
                say("Starting PostgreSQL …")
                settings = database.with_database(settings, stack.enter_context(database.embedded(directory)))
            else:
                settings = asyncio.run(pooling.require_statements(settings, say))
            settings = _with_public_url(settings, listener)
            settings = asyncio.run(_with_schema(settings, say, migrate=options.migrate or is_embedded))
            asyncio.run(_prepare(settings, options))
            if options.demo_data:
                asyncio.run(demo_data.fill(settings, say))
            _to_environment(settings)
            if options.workers > 1:
                os.environ[MULTIPROCESS] = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-metrics-"))
            if options.metrics_port is not None:
                say(f"Metrics without a key at {_metrics(stack, options.host, options.metrics_port)}")
            say(_banner(settings, listener, options, shows_key=shows_key if key_is_ours else None))
            _run(listener, options.workers, front)
    except (DataDirectoryError, EmbeddedPostgresError) as error:
        raise CommandFailed(str(error)) from error


def _exit_on_terminate() -> None:
    """A termination signal ends the program with its clean-up, at any moment of its life."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CommandFailed(f"Cannot listen on {host}:{port}: {reason}. Choose another port with --port.") from error
        listener.set_inheritable(True)
        yield listener


def _metrics(stack: ExitStack, host: str, port: int) -> str:
    """Serves what is measured of all server processes, on a port of its own; the address."""
    try:
        server, thread = start_http_server(port, host, registry())
    except OSError as error:
        raise CommandFailed(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port with --metrics-port.") from error
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"{_address(server.socket)}/metrics"


def _with_secrets(settings: Settings, directory: DataDirectory) -> Settings:
    """With the embedded database, what is not set is generated once and kept in the data directory."""
    admin_key = revealed(settings.admin_key) or directory.secret(ADMIN_KEY, prefix="tg_")
    changes = {"admin_key": SecretStr(admin_key)}
    if settings.jwt_secret is None and settings.jwks_url is None:
        changes["jwt_secret"] = SecretStr(directory.secret("jwt_secret"))
    return settings.model_copy(update=changes)


def _with_public_url(settings: Settings, listener: socket.socket) -> Settings:
    """Unless it is set, the address that the service listens on is how callers reach it."""
    return settings if "public_url" in settings.model_fields_set else settings.model_copy(update={"public_url": _address(listener)})


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _with_schema(settings: Settings, say: Callable[[str], None], *, migrate: bool) -> Settings:
    """Upgrades the schema where that is wanted. One that is newer than this release is served, and is not ready: it may be on its way out.

    Raises CommandFailed where the schema is older, and may not be upgraded here.
    """
    found = await database.stands(settings)
    if found is Standing.NEWER:
        say(f"{database.NEWER} Until then /readyz answers 503.")
        return settings.model_copy(update={"schema_newer": True})
    if not migrate:
        database.require_current(found)
    elif found is not Standing.CURRENT:
        await database.migrated(settings)
    return settings


async def _prepare(settings: Settings, options: Options) -> None:
    async with database.opened(settings) as container:
        _require_usable(container)
        if settings.schema_newer:
            return
        if settings.plans is not None:
            await plans.push(container, settings.plans)
        if options.example_customer:
            await _make_example_customer(container, options.example_customer)


def _require_usable(container: Container) -> None:
    """Makes once what each server process will need, so that a mistake in the settings is reported before anything is served."""
    try:
        container.authenticator()
    except (PyJWTError, ValueError) as error:
        raise CommandFailed(f"TOLLGATE_JWT_SECRET or TOLLGATE_JWKS_URL cannot be used: {error}") from error
    try:
        if takes_uploads(container):
            container.uploads()
    except OSError as error:
        raise CommandFailed(f"Uploads cannot be kept in {container.settings().data_dir}: {error}") from error


async def _make_example_customer(container: Container, customer_id: str) -> None:
    try:
        await container.customer_reader().get(customer_id)
    except CustomerNotFound:
        now = container.clock()()
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        command = PutCustomerCommand(customer_id=customer_id, plan=EXAMPLE_PLAN, changes={"billing_anchor": first}, changed_by="example")
        await container.put_customer().execute(command)


def _to_environment(settings: Settings) -> None:
    """Server processes read their settings from the environment that they are started with."""
    values = {
        "DATA_DIR": str(settings.data_dir.absolute()),
        "ADMIN_KEY": revealed(settings.admin_key),
        "JWT_SECRET": revealed(settings.jwt_secret),
        "PUBLIC_URL": settings.public_url,
        "STATEMENTS": settings.statements,
        "SCHEMA_NEWER": "true" if settings.schema_newer else None,
    }
    os.environ.update({f"TOLLGATE_{name}": value for name, value in values.items() if value})


def _banner(settings: Settings, listener: socket.socket, options: Options, *, shows_key: bool | None) -> str:
    """`shows_key`: whether the admin key that was generated is shown, or where it is kept; None: it is the operator's own."""
    address = _address(listener)
    lines = ["", f"Tollgate is ready at {address}   (documentation: {address}/docs)", ""]
    if shows_key is not None:
        shown = revealed(settings.admin_key) if shows_key else f"as at the first start: it is kept in {settings.data_dir / ADMIN_KEY}"
        lines.append(f"  admin key   {shown}")
    if options.example_customer:
        lines.append(f"  customer    {options.example_customer}, on the plan '{EXAMPLE_PLAN}' if it is new")
        token = sign(settings, options.example_customer, EXAMPLE_TOKEN_SECONDS)
        lines += [f"  user token  {token}", "", *_example(settings, options.example_customer, address, token), ""]
    return "\n".join([*lines, "Ctrl-C stops it.", ""])


def _example(settings: Settings, customer: str, address: str, token: str) -> list[str]:
    authorized = f"-H 'Authorization: Bearer {token}'"
    if "sessions" not in settings.products:
        return ["See what it may use:", "", f"curl {address}/api/v1/customers/{quote(customer, safe='')}/usage {authorized}"]
    body = '{"title": "Weekly coaching", "language": "en-US", "stt_provider": "auto"}'
    request = f"curl -X POST {address}/api/v1/sessions {authorized} -H 'Content-Type: application/json' -d '{body}'"
    return ["Create a coaching session:", "", request]


def _front(settings: Settings, say: Callable[[str], None]) -> Front:
    wanted = settings.limit_connections
    connections_max = connections_within(raise_descriptors(), wanted)
    if connections_max < wanted:
        say(f"{connections_max} connections at most for each server process, not {wanted}: raise the limit of open files (ulimit -Hn).")
    return Front(Bounds(connections_max, settings.head_seconds_max, settings.body_seconds_max))


def _run(listener: socket.socket, workers: int, front: Front) -> None:
    config = uvicorn.Config(
        "api.app:from_environment",
        factory=True,
        http=front,  # type: ignore[arg-type]  # called like a class
        ws="none",
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    try:
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, sockets=[listener]).run()
    except KeyboardInterrupt:
        return
