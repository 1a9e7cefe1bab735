"""A backup holds everything, is made whole or not at all, and is restored whole or not at all."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.sql.upkeep.backup import BackupError, dump, look_at, restore
from tests.integration.service import Database, Databases, Service, new_id, tollgate

PROGRAMS = [EmbeddedPostgres(Path()).programs()]
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    url = databases.empty()
    yield url
    databases.drop(url)


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    database = Database(url)
    tables = [row["tablename"] for row in database.rows(TABLES)]
    return {table: [row["row"] for row in database.rows(f"SELECT t::text AS row FROM {table} AS t ORDER BY 1")] for table in tables}


def structure(url: str) -> list[tuple[str, ...]]:
    """Indexes, constraints and functions."""
    rows = Database(url).rows("""
        SELECT 'index' AS kind, indexname::text AS name, indexdef AS text FROM pg_indexes WHERE schemaname = current_schema()
        UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = current_schema()::regnamespace
        UNION ALL SELECT 'function', proname::text, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
        UNION ALL SELECT 'options', relname::text, coalesce(reloptions::text, '') FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
        ORDER BY 1, 2, 3""")
    return [tuple(row.values()) for row in rows]


@pytest.fixture
def used_url(database_url: str) -> str:
    """A database in which a service has booked."""
    with Service(database_url) as service:
        customer = new_id()
        service.admin.put(f"/api/v1/customers/{customer}", json={"plan": "example"}).raise_for_status()
        usage = {"usage": [{"feature": "api_calls", "quantity": 7}]}
        service.admin.post(f"/api/v1/customers/{customer}/usage", json=usage).raise_for_status()
        service.admin.post(f"/api/v1/customers/{customer}/reservations", json=usage).raise_for_status()
    return database_url


async def test_what_is_restored_is_what_was_dumped(used_url: str, empty_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.dump"
    dump(used_url, await look_at(used_url), file, PROGRAMS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["backup.dump"]
    restore(empty_url, await look_at(empty_url), file, PROGRAMS)
    restored, kept = await asyncio.to_thread(contents, empty_url), await asyncio.to_thread(contents, used_url)
    assert restored == kept
    assert sum(map(len, kept.values())) > 10
    assert await asyncio.to_thread(structure, empty_url) == await asyncio.to_thread(structure, used_url)
    agreed = await asyncio.to_thread(tollgate, "reconcile", database_url=empty_url)
    assert agreed.returncode == 0, agreed.stderr


async def test_a_backup_is_not_overwritten(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.dump"
    file.write_text("an older one")
    with pytest.raises(BackupError, match="is not overwritten"):
        dump(database_url, await look_at(database_url), file, PROGRAMS)
    assert file.read_text() == "an older one"
    assert os.listdir(tmp_path) == ["backup.dump"]


async def test_nothing_is_dumped_of_a_database_without_a_schema(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="holds nothing of Tollgate's"):
        dump(empty_url, await look_at(empty_url), tmp_path / "backup.dump", PROGRAMS)
    assert os.listdir(tmp_path) == []


async def test_a_backup_is_restored_into_an_empty_database_only(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.dump"
    dump(database_url, await look_at(database_url), file, PROGRAMS)
    with pytest.raises(BackupError, match="holds tables already"):
        restore(database_url, await look_at(database_url), file, PROGRAMS)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.98])
async def test_of_half_a_backup_nothing_is_restored(database_url: str, empty_url: str, tmp_path: Path, part: float) -> None:
    whole, half = tmp_path / "whole.dump", tmp_path / "half.dump"
    dump(database_url, await look_at(database_url), whole, PROGRAMS)
    content = whole.read_bytes()
    half.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(BackupError, match="pg_restore failed"):
        restore(empty_url, await look_at(empty_url), half, PROGRAMS)
    assert (await look_at(empty_url)).tables == 0


async def test_a_server_that_does_not_answer_is_told() -> None:
    with pytest.raises(BackupError, match="cannot be asked"):
        await look_at("postgresql://nobody@127.0.0.1:1/none")
