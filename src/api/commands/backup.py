"""Dump the database into a file, and restore it from one."""

import asyncio
from pathlib import Path

from api.commands import CommandFailed, database
from api.settings import Settings
from infrastructure.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError
from infrastructure.sql.upkeep import backup
from infrastructure.sql.upkeep.migrate import Standing


def dump(settings: Settings, file: Path) -> str:
    """What was written, in a line. Raises CommandFailed."""
    with database.database(settings) as there:
        url = _url(there)
        try:
            target = asyncio.run(backup.look_at(url))
            backup.dump(url, target, file, _programs())
        except backup.BackupError as error:
            raise CommandFailed(str(error)) from error
    return f"Wrote {file}, {file.stat().st_size:,} bytes. Uploads and secrets are files in {settings.data_dir}: keep them, too."


def restore(settings: Settings, file: Path) -> str:
    """What was restored, in a line. Raises CommandFailed; an embedded database is created where the data directory was named."""
    if not file.is_file():
        raise CommandFailed(f"There is no file {file}.")
    with database.database(settings, creates="data_dir" in settings.model_fields_set) as there:
        url = _url(there)
        try:
            target = asyncio.run(backup.look_at(url))
            backup.restore(url, target, file, _programs())
            restored = asyncio.run(backup.look_at(url))
        except backup.BackupError as error:
            raise CommandFailed(str(error)) from error
        if restored.revision is None:
            raise CommandFailed(f"{file} holds nothing of the schema {target.schema}: it was dumped from a schema of another name.")
        behind = asyncio.run(database.stands(there)) is not Standing.CURRENT
    hint = f" It is of another release: {database.UPGRADE}." if behind else ""
    return f"Restored {file}, {restored.tables} tables.{hint} Compare it with 'tollgate reconcile'."


def _url(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url


def _programs() -> list[Path]:
    try:
        return [EmbeddedPostgres(Path()).programs()]
    except EmbeddedPostgresError:  # the embedded server is not installed: the machine's own programs are used
        return []
