"""A deleted customer is gone at once for everybody, and then wholly: every table, every reply, every file, restarts included."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.customers.deletion import CustomerBeingDeleted
from core.customers.put_customer import PutCustomerCommand
from core.metering.account import CustomerNotFound
from infrastructure.sql.upkeep import deletion
from infrastructure.sql.upkeep.customer_rows import DELETION, LEFT_OUT, tables_of_customers
from tests.integration.coaching import NEW_SESSION
from tests.integration.contract import OF_CUSTOMER, OPERATIONS, Operation, publish_everything
from tests.integration.in_process import NOW, Engine, consume, engine_on
from tests.integration.service import Databases, Service, new_id, refused, tollgate, until
from tests.unit.fakes.calls import calls

CUSTOMERS = "/api/v1/customers"

DRAINED = "usage_rollup_stale"
"""What is put there the roll-up takes out again, at any moment."""

TABLES = """
    SELECT table_name AS "table" FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'customer_id' AND table_name <> 'customer_deletion' ORDER BY 1
"""
COLUMNS = """
    SELECT column_name AS name, data_type AS type FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""
VALUES = {
    "text": "'x' || n",
    "uuid": "CAST(md5(CAST(n AS text)) AS uuid)",
    "bigint": "n",
    "integer": "n",
    "numeric": "n",
    "boolean": "true",
    "json": "'{\"n\": 1}'",
    "jsonb": "'{\"n\": 1}'",
    "bytea": "decode('00ff', 'hex')",
    "timestamp with time zone": "CAST('2026-11-21T12:00:00.123456Z' AS timestamptz)",
}
"""By type, a value for the n-th row of any table: so foreign keys hold."""


@pytest.fixture(scope="module")
def own(databases: Databases) -> Iterator[Service]:
    """A service on a database of its own: nonsense is put into its tables."""
    url = databases.fresh()
    with Service(url) as service:
        publish_everything(service)
        yield service
    databases.drop(url)


def put(service: Service, id: str, plan: str = "pro") -> None:
    service.admin.put(f"{CUSTOMERS}/{id}", json={"plan": plan}).raise_for_status()


def fill(service: Service, id: str, rows: int = 1) -> dict[str, int]:
    """Rows of the customer in every table that has a column for it; how many there are, by table."""
    names = [row["table"] for row in service.database.rows(TABLES)]
    assert len(names) > 15
    in_order = [table.name for table in reversed(list(tables_of_customers())) if table.name in names]
    for name in dict.fromkeys([*in_order, *(name for name in names if name != "customer")]):
        columns = service.database.rows(COLUMNS, name)
        values = ["CAST($1 AS text)" if column["name"] == "customer_id" else VALUES[column["type"]] for column in columns]
        named = ", ".join(f'"{column["name"]}"' for column in columns)
        sql = f'INSERT INTO "{name}" ({named}) SELECT {", ".join(values)} FROM generate_series(1, $2) AS n ON CONFLICT DO NOTHING'
        service.database.rows(sql, id, rows)
    return left(service, id)


def left(service: Service, id: str) -> dict[str, int]:
    names = [row["table"] for row in service.database.rows(TABLES)]
    return {name: service.database.value(f'SELECT count(*) FROM "{name}" WHERE customer_id = $1', id) for name in names}


def gone(service: Service, id: str) -> bool:
    return not service.database.value("SELECT count(*) FROM customer_deletion WHERE customer_id = $1", id)


def export(service: Service, id: str, **asked: Any) -> list[dict[str, Any]]:
    answer = service.admin.get(f"{CUSTOMERS}/{id}/export", params=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_table_with_a_customers_rows_is_emptied_in_pieces_and_others_keep_theirs(own: Service) -> None:
    id, other = new_id(), new_id()
    put(own, other)
    kept = fill(own, other)
    put(own, id)
    filled = fill(own, id, 2 * deletion.BITE_ROWS + 3)
    assert all(count >= 1 for name, count in filled.items() if name != DRAINED), filled
    assert filled["usage_record"] == 2 * deletion.BITE_ROWS + 3
    assert own.admin.delete(f"{CUSTOMERS}/{id}").status_code == 204
    until(lambda: gone(own, id), 30, "the deletion to end")
    assert set(left(own, id).values()) == {0}
    assert {**left(own, other), DRAINED: 0} == {**kept, DRAINED: 0}


def test_every_table_with_a_customers_rows_and_every_column_is_exported(own: Service) -> None:
    id = new_id()
    put(own, id)
    filled = fill(own, id, 3)
    lines = export(own, id)
    assert (lines[0]["table"], lines[-1]) == ("export", {"table": "end", "row": {"lines": len(lines) - 1}})
    found: dict[str, int] = {}
    for line in lines[1:-1]:
        found[line["table"]] = found.get(line["table"], 0) + 1
        columns = {column["name"] for column in own.database.rows(COLUMNS, line["table"])}
        assert set(line["row"]) == columns - {column for table, column in LEFT_OUT if table == line["table"]}
        assert line["row"]["customer_id"] == id
    assert {**found, DRAINED: 0} == {**filled, DRAINED: 0}
    (record,) = (line["row"] for line in lines if line["table"] == "usage_record" and line["row"]["quantity"] == 2)
    assert datetime.fromisoformat(record["occurred_at"]) == datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)
    assert base64.b64decode(next(line["row"]["reply"] for line in lines if line["table"] == "idempotency_key")) == b"\x00\xff"


def test_tables_without_a_customers_id_lead_to_none_of_a_customers(own: Service) -> None:
    """What is reached through a customer's table would be forgotten: it has to carry the id itself."""
    reached = """
        SELECT conrelid::regclass::text AS "from", confrelid::regclass::text AS "to" FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace
    """
    owned = {row["table"] for row in own.database.rows(TABLES)}
    assert {table.name for table in tables_of_customers()} == owned - {"customer", DELETION}
    assert [row for row in own.database.rows(reached) if row["to"] in owned and row["from"] not in owned] == []


def test_from_the_answer_on_the_customer_is_unknown_to_every_operation(own: Service) -> None:
    id = new_id()
    put(own, id, "everything")
    headers = {"Tollgate-Customer": id}
    session = own.admin.post("/api/v1/sessions", json=NEW_SESSION, headers=headers).json()["id"]
    held = own.admin.post(f"{CUSTOMERS}/{id}/reservations", json={"usage": [{"feature": "sessions", "quantity": 1}]}).json()["id"]
    grant = own.admin.post(f"{CUSTOMERS}/{id}/grants", json={"feature": "sessions", "quantity": 5, "kind": "paid"}).json()["id"]
    assert own.admin.post("/api/v1/operations", json={"id": "scan", "feature": "scan"}, headers=headers).status_code == 201
    plan = {"language": "de", "level": "B1", "total_sessions": 8, "sessions_per_week": 2}
    learning = own.admin.post("/api/v1/learning-plans", json=plan, headers=headers).json()["id"]
    message = {"direction": "inbound", "counterparty": "+14155552671", "message_id": "1"}
    conversation = own.admin.post("/api/v1/messages", json=message, headers=headers).json()["conversation"]["id"]
    paths = [
        *(
            f"{CUSTOMERS}/{id}{rest}"
            for rest in ("", "/usage", "/usage/records", "/usage/history", "/reservations", "/grants", "/refusals")
        ),
        *(f"{CUSTOMERS}/{id}/{rest}" for rest in ("plan-history", f"reservations/{held}", f"grants/{grant}", "export")),
        *(f"/api/v1/{rest}" for rest in ("sessions", "operations", "conversations", "budget", "subscription-status")),
        *(f"/api/v1/{rest}" for rest in (f"sessions/{session}", "operations/scan", "operations/scan/steps")),
        *(f"/api/v1/{rest}" for rest in (f"learning-plans/{learning}", f"conversations/{conversation}")),
    ]
    client = own.client({**dict(own.admin.headers), **headers})
    assert {path: client.get(path).status_code for path in paths if client.get(path).status_code != 200} == {}
    own.database.rows("DELETE FROM customer WHERE customer_id = $1", id)  # as if nothing that is kept of it had gone yet
    assert {path: client.get(path).status_code for path in paths if client.get(path).status_code != 404} == {}


@pytest.mark.parametrize("operation", [item for item in OPERATIONS if "{customer_id}" in item.path], ids=str)
def test_an_unknown_customer_is_404_on_everything_under_it(own: Service, operation: Operation) -> None:
    if operation.name == f"PUT {OF_CUSTOMER}":
        return  # creates it
    if operation.name == f"POST {OF_CUSTOMER}/reservations":
        operation = replace(operation, body={"usage": [{"feature": "sessions", "quantity": 1}]})
    answer = operation.call(own.admin, new_id(), "019a6f00-0000-7000-8000-000000000000")
    assert answer.status_code == 404, answer.text
    if operation.method == "GET" and not operation.path.endswith("id}"):
        refused(answer, 404, "customer_not_found")


def test_a_deletion_takes_replies_and_files_along_and_the_id_is_free_again_when_all_is_gone(own: Service) -> None:
    id = new_id("files / and slashes")
    path = f"{CUSTOMERS}/{id.replace(' ', '%20').replace('/', '%2F')}"
    own.admin.put(path, json={"plan": "pro"}).raise_for_status()
    headers = {"Tollgate-Customer": id}
    content = bytes(range(256)) * 2_000
    for _ in range(3):
        session = own.admin.post("/api/v1/sessions", json=NEW_SESSION, headers=headers).json()["id"]
        asked = {"filename": "a.m4a", "content_type": "audio/mp4", "size_bytes": len(content)}
        target = own.admin.post(f"/api/v1/sessions/{session}/upload-url", json=asked, headers=headers).json()
        assert own.anyone.put(target["upload_url"], content=content, headers=target["headers"]).status_code == 204
    key = {"Idempotency-Key": "once"}
    use = {"usage": [{"feature": "sessions", "quantity": 1}]}
    booked = own.admin.post(f"{path}/usage", json=use, headers=key).json()
    pieces = [line["row"] for line in json_lines(own.admin.get(f"{path}/export").text) if line["table"] == "uploaded_file"]
    assert len({piece["file_id"] for piece in pieces}) == 3
    of_one = [piece for piece in pieces if piece["session_id"] == session]
    assert b"".join(base64.b64decode(piece["content"]) for piece in of_one) == content
    assert [piece["offset"] for piece in of_one] == sorted(piece["offset"] for piece in of_one)
    assert not any("uploaded_file" in line for line in own.admin.get(f"{path}/export?files=false").text.splitlines())
    assert len(files(own)) == 3
    refused(own.key(scoped(own, "write")).delete(path), 403, "forbidden")
    assert own.admin.delete(path).status_code == 204
    refused(own.admin.delete(path), 404, "customer_not_found")
    refused(own.admin.get(path), 404, "customer_not_found")
    until(lambda: own.admin.put(path, json={"plan": "pro"}).status_code == 201, 30, "the id to be free")
    assert files(own) == []
    again = own.admin.post(f"{path}/usage", json=use, headers=key)
    assert "Idempotency-Replayed" not in again.headers
    assert (again.json()["balances"]["sessions"]["used"], booked["balances"]["sessions"]["used"]) == (1, 4)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def files(service: Service) -> list[Path]:
    return [path for path in (service.data_dir / "uploads").rglob("*") if path.is_file()]


def scoped(service: Service, scope: str) -> str:
    key: str = service.admin.post("/api/v1/keys", json={"scope": scope}).json()["key"]
    return key


def test_what_a_killed_service_had_begun_the_next_one_ends_and_the_id_is_taken_until_then(databases: Databases) -> None:
    url = databases.fresh()
    with Service(url) as service:
        id = new_id()
        put(service, id)
        fill(service, id, 20)
        done = tollgate("customers", "delete", id, "--yes", database_url=url)
        assert done.returncode == 0, done.stderr
        service.kill_group()
    assert not gone(service, id)
    with Service(url) as service:
        refused(service.admin.get(f"{CUSTOMERS}/{id}"), 404, "customer_not_found")
        until(lambda: gone(service, id), 60, "the next service to go on")
        assert set(left(service, id).values()) == {0}
    databases.drop(url)


def test_commands_export_and_delete(own: Service, tmp_path: Path) -> None:
    id = new_id()
    put(own, id)
    url = own.database.url
    written = tollgate("customers", "export", id, "--file", tmp_path / "own.ndjson", database_url=url, data_dir=own.data_dir)
    assert (written.returncode, written.stdout) == (0, ""), written.stderr
    lines = json_lines((tmp_path / "own.ndjson").read_text())
    assert [lines[1]["row"]["customer_id"], lines[-1]["table"]] == [id, "end"]
    assert (tmp_path / "own.ndjson").stat().st_mode & 0o777 == 0o600
    again = tollgate("customers", "export", id, "--file", tmp_path / "own.ndjson", database_url=url, data_dir=own.data_dir)
    assert again.returncode == 1
    assert json_lines(tollgate("customers", "export", id, database_url=url, data_dir=own.data_dir).stdout)[-1]["table"] == "end"
    for command in ("export", "delete"):
        unknown = tollgate("customers", command, "nobody", *(["--yes"] if command == "delete" else []), database_url=url)
        assert (unknown.returncode, unknown.stderr) == (1, "tollgate: No customer 'nobody'.\n")
    assert tollgate("customers", "delete", id, "--yes", database_url=url).returncode == 0
    refused(own.admin.get(f"{CUSTOMERS}/{id}"), 404, "customer_not_found")


@pytest.fixture
async def engine(database_url: str, tmp_path: Path) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        engine.container.settings.override(engine.container.settings().model_copy(update={"data_dir": tmp_path}))
        yield engine


async def counts(engine: Engine, id: str) -> dict[str, int]:
    async def ask(driver: Any) -> dict[str, int]:
        return {
            table.name: await driver.fetchval(f'SELECT count(*) FROM "{table.name}" WHERE customer_id = $1', id)
            for table in tables_of_customers()
        }

    found: dict[str, int] = await engine.container.connections().ask(ask)
    return found


async def test_a_command_that_was_under_way_leaves_nothing_behind(engine: Engine, database_url: str) -> None:
    """It saw the customer, and books after every table was emptied: the deletion waits for it, and looks once more."""
    acme = await engine.customer(calls=10)
    deletions = engine.container.customer_deletions()
    async with engine.container.unit_of_work() as uow:
        await uow.accounts.lock({acme: []}, at=NOW)
        await deletions.begin(acme, NOW, "test", keeps_sums=False)
        assert not await deletions.work()
        await uow._live.driver.execute("INSERT INTO usage_counter (customer_id, feature, used) VALUES ($1, 'calls', 1)", acme)
        await uow.commit()
    assert (await counts(engine, acme))["usage_counter"] == 1
    with pytest.raises(CustomerBeingDeleted):
        await put_in(engine, acme)
    assert await deletions.work()
    assert set((await counts(engine, acme)).values()) == {0}
    await put_in(engine, acme)


async def put_in(engine: Engine, id: str) -> None:
    plan = (await engine.container.plan_reader().all_latest())[0].key
    await engine.container.put_customer().execute(PutCustomerCommand(customer_id=id, plan=plan, changes={}, changed_by="test"))


async def test_nothing_is_booked_for_a_deleted_customer(engine: Engine) -> None:
    acme = await engine.customer(calls=10)
    await engine.container.consume_usage().execute(calls(consume(acme, "calls")))
    await engine.container.customer_deletions().begin(acme, NOW, "test", keeps_sums=False)
    (outcome,) = await engine.container.consume_usage().execute(calls(consume(acme, "calls")))
    assert isinstance(outcome, CustomerNotFound)
    assert (await counts(engine, acme))["usage_record"] == 1
    with pytest.raises(CustomerNotFound):
        await engine.container.customer_deletions().begin(acme, NOW, "test", keeps_sums=False)


async def test_tables_of_products_that_were_never_switched_on_are_not_missed(engine: Engine) -> None:
    acme = await engine.customer(calls=10)
    await engine.container.connections().ask(lambda driver: driver.execute("DROP TABLE practice_session, learning_plan, message"))
    lines = [json.loads(line) async for line in engine.container.export_customer().lines(acme, with_files=True)]
    assert [line["table"] for line in lines] == ["export", "customer", "end"]
    await engine.container.customer_deletions().begin(acme, NOW, "test", keeps_sums=False)
    assert await engine.container.customer_deletions().work()


@pytest.mark.parametrize("keeps_sums", [True, False])
async def test_sums_by_month_stay_where_that_is_wanted_each_record_counted_once(engine: Engine, mocker: Any, keeps_sums: bool) -> None:
    mocker.patch.object(deletion, "BITE_ROWS", 2)
    customers = [await engine.customer(calls=100) for _ in range(2)]
    for id in customers:
        await engine.container.consume_usage().execute(calls(*[consume(id, "calls", 3)] * 5))
        await engine.container.customer_deletions().begin(id, NOW, "test", keeps_sums=keeps_sums)
    workers = [engine.container.customer_deletions().work() for _ in range(3)]
    await asyncio.gather(*workers)
    assert await engine.container.customer_deletions().work()
    rows = await engine.container.connections().ask(lambda driver: driver.fetch("SELECT * FROM deleted_usage"))
    expected = [("calls", datetime(2026, 11, 1, tzinfo=UTC), 30)] if keeps_sums else []
    assert [tuple(row) for row in rows] == expected
