"""A backup of the database as one file, by PostgreSQL's own programs `pg_dump` and `pg_restore`."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
from sqlalchemy.engine import make_url

from infrastructure.sql.driver.address import lone_connection

_DEBIAN: Final = Path("/usr/lib/postgresql")
"""Where Debian's packages put the programs of each version: `15/bin`."""
_VERSION: Final = "alembic_version"


class BackupError(Exception):
    """A backup cannot be made or restored; the message is one line for the operator."""


class Target(NamedTuple):
    """What a server says about itself and the database that the URL leads to."""

    major: int
    schema: str
    tables: int
    revision: str | None


async def look_at(url: str) -> Target:
    """Raises BackupError where the database is out of reach, or has no schema that the user may work in."""
    try:
        async with lone_connection(url) as driver:
            schema = await driver.fetchval("SELECT current_schema()")
            names = [row["tablename"] for row in await driver.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)]
            revision = await driver.fetchval(f"SELECT max(version_num) FROM {_VERSION}") if _VERSION in names else None
            major = driver.get_server_version().major
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupError(f"The database cannot be asked: {str(error) or 'no answer in time'}.") from error
    if schema is None:
        raise BackupError("The user of this URL has no schema to work in: create one, or set its search_path.")
    return Target(major, schema, len(names), revision)


def dump(url: str, target: Target, file: Path, places: Iterable[Path] = ()) -> None:
    """Writes what the service's schema holds, as of one moment, while it goes on working. The file appears whole or not at all.

    `places` are directories with PostgreSQL's programs, beside the usual ones. Raises BackupError.
    """
    if target.revision is None:
        raise BackupError(f"The schema {target.schema} holds nothing of Tollgate's.")
    program = _program("pg_dump", target.major, places)
    schema = target.schema.replace('"', '""')
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as drafts:
            draft = Path(drafts, file.name)
            draft.touch(mode=0o600)
            _run(program, url, "--format=custom", f'--schema="{schema}"', "--no-owner", "--no-privileges", f"--file={draft}")
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            os.link(draft, file)
    except FileExistsError as error:
        raise BackupError(f"{file} exists, and a backup is not overwritten: choose another name.") from error
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}.") from error


def restore(url: str, target: Target, file: Path, places: Iterable[Path] = ()) -> None:
    """Puts a backup into an empty schema of the same name: all of it or, after any failure, nothing. Raises BackupError."""
    if target.tables:
        raise BackupError(f"The schema {target.schema} holds tables already: a backup is restored into an empty database.")
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    program = _program("pg_restore", target.major, places)
    _run(program, url, "--single-transaction", "--no-owner", "--no-privileges", f"--schema={target.schema}", str(file))


def _program(name: str, major: int, places: Iterable[Path]) -> Path:
    """The program of the server's own version, or else of the next newer one: an older one refuses a newer server."""
    versions = {
        version: place / name
        for place in (*places, *map(Path, os.environ.get("PATH", os.defpath).split(os.pathsep)), *_DEBIAN.glob("*/bin"))
        if (version := _version(place / name)) is not None and version >= major
    }
    if not versions:
        raise BackupError(f"{name} of PostgreSQL {major} or newer is not on this machine: install postgresql-client-{major}.")
    return versions[min(versions)]


def _version(program: Path) -> int | None:
    if shutil.which(program) is None:
        return None
    told = subprocess.run((program, "--version"), capture_output=True, text=True, check=False).stdout
    found = re.search(r" (\d+)", told)
    return int(found[1]) if found else None


def _run(program: Path, url: str, *arguments: str) -> None:
    """The password is given in the environment: everyone on the machine may read arguments."""
    address = make_url(url).set(drivername="postgresql")
    environment = os.environ | ({"PGPASSWORD": str(address.password)} if address.password else {})
    shown = address.set(password=None).render_as_string(hide_password=False)
    try:
        subprocess.run(
            (program, f"--dbname={shown}", "--no-password", *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"it ended with status {error.returncode}"]
        reason = next((line for line in lines if "error:" in line), lines[-1])
        raise BackupError(f"{program.name} failed: {reason.removeprefix(f'{program.name}: error: ')}") from error
