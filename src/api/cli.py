"""The `tollgate` command."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from api.commands import CommandFailed
from api.settings import Settings
from core.access.rotate_key import GRACE_DEFAULT, GRACE_MAX, RotateKeyCommand
from core.access.service_keys import Scope, ServiceKeyNotFound
from core.errors import ConcurrentUpdate, DomainError, Overloaded

if TYPE_CHECKING:
    from api.container import Container
    from core.access.create_key import CreatedKey
    from core.metering.event_types import EventType
    from core.plans.features import FeatureCatalog
    from core.plans.plan import Plan

T = TypeVar("T")

HELP_TOO: Final = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=HELP_TOO,
    help="Metering and plan limits on PostgreSQL. Only 'serve' creates a database, and only 'db upgrade' changes the schema of one.",
)
keys = typer.Typer(no_args_is_help=True, context_settings=HELP_TOO, help="Service keys: create, list, rotate, revoke.")
plans = typer.Typer(
    no_args_is_help=True, context_settings=HELP_TOO, help="Plans as code: push, diff, show; and customers moved to the newest version."
)
db = typer.Typer(no_args_is_help=True, context_settings=HELP_TOO, help="The database: its schema, and backups.")
customers = typer.Typer(no_args_is_help=True, context_settings=HELP_TOO, help="Customers: delete one, export all that is kept of one.")
app.add_typer(keys, name="keys")
app.add_typer(plans, name="plans")
app.add_typer(db, name="db")
app.add_typer(customers, name="customers")

# Names are shown as they are, and where no terminal sets a width, a table's lines stay whole for whatever reads them.
out = Console(soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else 1000)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing where all went well.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept (TOLLGATE_DATA_DIR, default .tollgate).")]
PlanFileArgument = Annotated[Path, typer.Argument(help="The plan file, such as plans.yaml.")]


@app.callback(invoke_without_command=True)
def whole(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Metering and plan limits on PostgreSQL. Only 'serve' creates a database, and only 'db upgrade' changes the schema of one."""
    if version:
        print(f"tollgate {installed('tollgate-service')}")
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8000,
    data_dir: DataDir = None,
    plans: Annotated[Path | None, typer.Option(help="A plan file to publish at the start (TOLLGATE_PLANS).")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many server processes.")] = 1,
    example_customer: Annotated[str | None, typer.Option(help="Create this customer, and print a token and a request for it.")] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Upgrade the schema of a configured database first.")] = False,
    limit_connections: Annotated[
        int | None, typer.Option(min=1, help="Connections of each server process (TOLLGATE_LIMIT_CONNECTIONS, default 4096).")
    ] = None,
    show_admin_key: Annotated[
        bool, typer.Option("--show-admin-key", help="Print the generated admin key at this start too, and not only at the first.")
    ] = False,
    demo_data: Annotated[
        bool, typer.Option("--demo-data", help="Fill it with a year of usage of a dozen customers first, once; takes the example plans.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics without a key on a port of its own, too; 0 takes a free one.")
    ] = None,
) -> None:
    """Start the service; without TOLLGATE_DATABASE_URL with an embedded PostgreSQL, which it creates and upgrades in the data directory.

    A configured database that is behind is refused, unless --migrate is given. Example: tollgate serve --port 8000 --plans plans.yaml
    """
    from api.commands.serve import Options
    from api.commands.serve import serve as run

    run(
        _settings(data_dir=data_dir, plans=plans, limit_connections=limit_connections),
        Options(host, port, workers, example_customer, migrate, show_admin_key, demo_data, metrics_port),
        _say,
    )


@app.command()
def demo() -> None:
    """Start a service of its own, play the stories of the four reference products on it, and print what happened.

    Reads plans.yaml. What it makes is in a temporary directory, which it removes. Example: tollgate demo
    """
    from api.commands.demo import demo as play

    play(_settings(), out)


@app.command()
def token(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    ttl: Annotated[int, typer.Option(min=1, max=366 * 24 * 3600, help="Seconds until it expires.")] = 3600,
    data_dir: DataDir = None,
) -> None:
    """Print a user token, signed with TOLLGATE_JWT_SECRET or the data directory's own secret. Changes nothing.

    Example: tollgate token acme --ttl 600
    """
    from api.commands.tokens import sign

    print(sign(_settings(data_dir=data_dir), customer, ttl))


@keys.command("create")
def create_key(
    scope: Annotated[Scope, typer.Option(help="What the key may do.")],
    name: Annotated[str | None, typer.Option(help="Who uses it; shown in the ledger.")] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3660, help="When it ends by itself.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a service key in the database and print it, this once.

    Example: tollgate keys create --scope write --name backend
    """
    from core.access.create_key import CreateKeyCommand

    async def create(container: "Container") -> "CreatedKey":
        ends = None if expires_in_days is None else container.clock()() + timedelta(days=expires_in_days)
        return await container.create_key().execute(CreateKeyCommand(scope=scope, name=name, expires_at=ends))

    _show_once(_with_container(data_dir, create), as_json=as_json)


@keys.command("rotate")
def rotate_key(
    id: Annotated[UUID, typer.Argument(help="The key's id, from 'keys list'.")],
    grace_seconds: Annotated[
        int, typer.Option(min=0, max=int(GRACE_MAX.total_seconds()), help="How long the old key goes on working.")
    ] = int(GRACE_DEFAULT.total_seconds()),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a key with the name and scope of another, which ends after the grace, and print it, this once.

    Example: tollgate keys rotate 01a2156c-2823-7000-8000-000000000000 --grace-seconds 3600
    """
    command = RotateKeyCommand(id=id, grace=timedelta(seconds=grace_seconds))
    try:
        created = _with_container(data_dir, lambda container: container.rotate_key().execute(command))
    except ServiceKeyNotFound as error:
        raise CommandFailed(f"No valid service key {id}: 'tollgate keys list' shows them.") from error
    _show_once(created, as_json=as_json)


@keys.command("list")
def list_keys(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the service keys, revoked ones too; never their secrets. Changes nothing. Example: tollgate keys list --json"""
    table = Table("id", "name", "scope", "created", "expires", "last used", "revoked")
    found = _with_container(data_dir, lambda container: container.service_keys().all())
    if as_json:
        names = ("created_at", "expires_at", "last_used_at", "revoked_at")
        told = [
            {"id": str(key.id), "name": key.name, "scope": key.scope.value, **{name: getattr(key, name) for name in names}} for key in found
        ]
        print(json.dumps(told, indent=2, default=lambda at: at.isoformat()))
        return
    for key in found:
        times = (key.created_at, key.expires_at, key.last_used_at, key.revoked_at)
        table.add_row(str(key.id), key.name or "", key.scope.value, *(at.isoformat(timespec="seconds") if at else "" for at in times))
    out.print(table)


@keys.command("revoke")
def revoke_key(id: Annotated[UUID, typer.Argument(help="The key's id, from 'keys list'.")], data_dir: DataDir = None) -> None:
    """Revoke a service key; requests with it are refused from then on.

    Example: tollgate keys revoke 01a2156c-2823-7000-8000-000000000000
    """
    try:
        _with_container(data_dir, lambda container: container.revoke_key().execute(id))
    except ServiceKeyNotFound as error:
        raise CommandFailed(f"No service key {id}: 'tollgate keys list' shows them.") from error
    print(f"Revoked {id}.")


@plans.command("push")
def push_plans(file: PlanFileArgument, data_dir: DataDir = None, quiet: Quiet = False) -> None:
    """Publish what changed in the plan file, a new version of each changed plan; what the file does not name stays as it is.

    Example: tollgate plans push plans.yaml
    """
    from api.commands import plans as commands

    changes = _with_container(data_dir, lambda container: commands.push(container, file))
    for change in () if quiet else changes:
        print(f"{change.key}: {change.kind}" + ("" if change.version is None else f", version {change.version}"))


@plans.command("diff")
def diff_plans(file: PlanFileArgument, data_dir: DataDir = None, quiet: Quiet = False) -> None:
    """Show what a push would change, and change nothing. Exit status 0: nothing to push. 1: there is something.

    Example: tollgate plans diff plans.yaml
    """
    from api.commands import plans as commands

    changes = _with_container(data_dir, lambda container: commands.diff(container, file))
    for change in () if quiet else changes:
        versioned = change.kind in ("new", "changed") and change.version is not None
        print(f"{change.key}: {change.kind}" + (f", would be version {change.version}" if versioned else ""))
        for line in change.details:
            print(f"  {line}")
    if any(change.kind in ("new", "changed") for change in changes):
        raise typer.Exit(1)


@plans.command("move")
def move_customers(
    key: Annotated[str, typer.Argument(help="The plan's key.")],
    at_period_end: Annotated[bool, typer.Option("--at-period-end", help="Each at the end of its own billing period.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say who would be over a limit.")] = False,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Move a plan's customers to its newest version, now. Stopped in the middle, it can be run again.

    Example: tollgate plans move pro --dry-run
    """
    from api.commands import plans as commands

    say = (lambda line: None) if quiet else print
    if not _with_container(data_dir, lambda container: commands.move(container, key, say, at_period_end=at_period_end, dry_run=dry_run)):
        raise typer.Exit(1)


@plans.command("show")
def show_plans(data_dir: DataDir = None) -> None:
    """Show the newest version of every plan, and what events of mapped types are booked as. Changes nothing.

    Example: tollgate plans show
    """
    from api.commands import plans as commands

    async def read(container: "Container") -> "tuple[Sequence[Plan], FeatureCatalog, Mapping[str, EventType]]":
        plans = container.plan_reader()
        return await plans.all_latest(), await plans.features(), await container.event_type_reader().mapped()

    published, catalog, types = _with_container(data_dir, read)
    table = Table("plan", "version", "feature", "entitlement")
    for plan in published:
        for index, (key, entitlement) in enumerate(plan.entitlements.items()):
            first = (plan.key, str(plan.version)) if index == 0 else ("", "")
            table.add_row(*first, key, commands.told(entitlement, catalog.get(key)))
    out.print(table)
    if types:
        table = Table("event type", "meters")
        for mapped in types.values():
            table.add_row(mapped.key, "; ".join(map(commands.meter_text, mapped.meters)))
        out.print(table)


@customers.command("delete")
def delete_customer(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a customer, for good: its rows, the answers that were kept for it, its files. From now on there is no such customer.

    What is kept of it goes in the background of a service that runs on this database, or of the next one that is started.
    Example: tollgate customers delete acme
    """
    from api.commands import customers as commands

    if not yes and input(f"Delete {customer!r} and everything that is kept of it? Type its id again: ") != customer:
        raise CommandFailed("Nothing was deleted.")
    _with_container(data_dir, lambda container: commands.delete(container, customer))
    print(f"{customer!r} is deleted; what is kept of it goes in the background of the service.")


@customers.command("export")
def export_customer(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    file: Annotated[Path | None, typer.Option("--file", help="A new file to write; absent: the standard output.")] = None,
    files: Annotated[bool, typer.Option("--files/--no-files", help="Whether uploaded files are in it, in base64.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Write out everything that is kept of a customer, as NDJSON: a JSON object for each row of each table. Changes nothing.

    The uploaded files are those of this machine's data directory. Example: tollgate customers export acme --file acme.ndjson
    """
    from api.commands import customers as commands

    _with_container(data_dir, lambda container: commands.export(container, customer, file, with_files=files))


@app.command()
def reconcile(
    customer: Annotated[str | None, typer.Option(help="Look at this customer only.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild counters and write missing ledger records.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Compare product records, ledger and counters. Changes nothing without --repair. Example: tollgate reconcile --customer acme

    Exit status 0: all agree. 1: drift was found (and, with --repair, repaired). 2: they could not be compared.
    """
    from api.commands.reconcile import reconcile as compare

    try:
        found = _with_container(data_dir, lambda container: compare(container, customer, repair=repair, out=out))
    except CommandFailed as error:
        _fail(str(error), status=2)
    if found:
        raise typer.Exit(1)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    feature: Annotated[str, typer.Argument(help="The feature's key.")],
    at: Annotated[str | None, typer.Option(help="An instant, such as 2026-11-27T10:32:00Z; absent: now.")] = None,
    quantity: Annotated[str | None, typer.Option(help="How much is asked for, in the feature's unit; absent: the smallest amount.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Explain why usage is admitted or refused, or was: the limit's parts, what was used, who holds what. Changes nothing.

    Example: tollgate explain acme sessions --at 2026-11-27T10:32:00Z
    """
    from api.commands.explain import explain as tell

    instant, amount = _instant(at), _amount(quantity)
    _with_container(data_dir, lambda container: tell(container, customer, feature, amount, instant, out))


@db.command("upgrade")
def upgrade_database(data_dir: DataDir = None) -> None:
    """Bring the database's schema up to date: the one of TOLLGATE_DATABASE_URL, or of the data directory. Example: tollgate db upgrade"""
    from api.commands import database

    with database.database(_settings(data_dir=data_dir)) as settings:
        asyncio.run(database.migrated(settings))
    print("The schema is up to date.")


@db.command("dump")
def dump_database(file: Annotated[Path, typer.Argument(help="The file to write, such as backup.dump.")], data_dir: DataDir = None) -> None:
    """Write a backup of the database into a file, while the service may go on. An existing file is not overwritten.

    Example: tollgate db dump backup.dump
    """
    from api.commands.backup import dump

    print(dump(_settings(data_dir=data_dir), file))


@db.command("restore")
def restore_database(file: Annotated[Path, typer.Argument(help="What 'db dump' wrote.")], data_dir: DataDir = None) -> None:
    """Put a backup into an empty database: all of it, or after any failure nothing. An embedded one is created where --data-dir is given.

    Example: tollgate db restore backup.dump --data-dir restored
    """
    from api.commands.backup import restore

    print(restore(_settings(data_dir=data_dir), file))


def main() -> None:
    """Runs the command. A failure whose reason is known is one line, with exit status 1."""
    try:
        app()
    except CommandFailed as error:
        _fail(str(error), error.status)
    except DomainError as error:
        _fail(error.message)
    except ConcurrentUpdate:
        _fail(Overloaded.message)


def _fail(message: str, status: int = 1) -> NoReturn:
    print(f"tollgate: {message}", file=sys.stderr)
    sys.exit(status)


def _show_once(created: "CreatedKey", *, as_json: bool) -> None:
    print(json.dumps({"id": str(created.key.id), "key": created.text}) if as_json else created.text)
    print("Keep it: it is not shown again.", file=sys.stderr)


def _instant(text: str | None) -> datetime | None:
    from pydantic import TypeAdapter

    from api.wire import Instant

    try:
        return None if text is None else TypeAdapter(Instant).validate_python(text)
    except ValidationError as error:
        raise CommandFailed(f"--at: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def _amount(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation as error:
        raise CommandFailed(f"--quantity: a number is expected, and not {text!r}") from error


def _say(text: str) -> None:
    print(text, flush=True)


def _settings(**flags: Any) -> Settings:
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        mistakes = "; ".join(f"TOLLGATE_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
        raise CommandFailed(mistakes) from error


def _with_container(data_dir: Path | None, use: Callable[["Container"], Coroutine[Any, Any, T]]) -> T:
    """Runs `use` on a container over the configured database, or the one of the data directory."""
    from api.commands import database

    async def run(settings: Settings) -> T:
        async with database.container(settings) as container:
            return await use(container)

    with database.database(_settings(data_dir=data_dir)) as settings:
        return asyncio.run(run(settings))
