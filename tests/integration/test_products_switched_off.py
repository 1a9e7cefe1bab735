"""TOLLGATE_PRODUCTS: reference products that are not served, and whose tables stay away where they were never wanted."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from core.products import PRODUCTS
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.registry import PRODUCTS as STORED_PRODUCTS
from infrastructure.sql.registry import tables_of
from infrastructure.sql.upkeep.migrate import upgrade
from tests.integration.service import Database, Databases, Service, new_id, tollgate

OF_PRODUCT = {
    "sessions": ("/api/v1/sessions", "/api/v1/uploads/{token}"),
    "learning": ("/api/v1/learning-plans", "/api/v1/subscription-status"),
    "operations": ("/api/v1/operations", "/api/v1/budget"),
    "conversations": ("/api/v1/messages", "/api/v1/conversations"),
}
TABLES = {
    "sessions": {"coaching_session"},
    "learning": {"learning_plan", "practice_session", "assessment"},
    "operations": {"ai_operation", "ai_operation_step"},
    "conversations": {"conversation", "message"},
}
LAST_WITHOUT_SETTING = "0017"
"""Later versions have to do without the tables of products that are off."""

SHAPE = """
    SELECT c.relname AS "table", 'options' AS kind, coalesce(array_to_string(c.reloptions, ' '), '') AS definition
    FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT a.attrelid::regclass::text, 'column', concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT conrelid::regclass::text, 'constraint', conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tablename, 'index', indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    url = databases.empty()
    yield url
    databases.drop(url)


def tables(url: str) -> set[str]:
    return {row["tablename"] for row in Database(url).rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def shape(url: str) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in Database(url).rows(SHAPE)}


def upgraded(url: str, products: str | None) -> None:
    done = tollgate("db", "upgrade", database_url=url, products=products)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_switched_off_is_not_served_not_described_and_has_no_tables(empty_url: str) -> None:
    with Service(empty_url, products="operations, sessions", arguments=["--migrate"]) as service:
        document = service.anyone.get("/openapi.json").json()
        for name, paths in OF_PRODUCT.items():
            on = name in ("sessions", "operations")
            for path in paths:
                assert (path in document["paths"]) is on, path
                assert (service.admin.post(path, json={}).status_code == 404) is not on, path
            assert (TABLES[name] <= tables(empty_url)) is on
            assert (TABLES[name].isdisjoint(tables(empty_url))) is not on
        assert "/api/v1/customers/{customer_id}/usage" in document["paths"]


def test_without_any_product_the_engine_is_whole(empty_url: str) -> None:
    upgraded(empty_url, "none")
    customer = new_id()
    with Service(empty_url, products="none", arguments=["--example-customer", "demo"]) as service:
        assert not (service.data_dir / "uploads").exists()
        assert "/api/v1/customers/demo/usage" in service.output
        service.admin.put(f"/api/v1/customers/{customer}", json={"plan": "free"}).raise_for_status()
        # Features of the products stay known: plans that name them mean the same in every process.
        booked = service.admin.post(f"/api/v1/customers/{customer}/usage", json={"usage": [{"feature": "sessions", "quantity": 2}]})
        assert booked.status_code == 200, booked.text
        sessions = service.admin.get(f"/api/v1/customers/{customer}/usage").json()["features"]["sessions"]
        assert (sessions["used"], sessions["unit"]) == (2, "session")
    Database(empty_url).rows("UPDATE usage_counter SET used = 9 WHERE customer_id = $1", customer)
    repaired = tollgate("reconcile", "--repair", database_url=empty_url, products="none")
    assert repaired.returncode == 1
    assert tollgate("reconcile", database_url=empty_url, products="none").returncode == 0
    assert Database(empty_url).used(customer, "sessions") == (2, 2)


def test_tables_that_are_wanted_later_are_as_if_they_had_been_there_from_the_beginning(empty_url: str, database_url: str) -> None:
    upgraded(empty_url, "none")
    assert tables(empty_url) == tables(database_url) - set().union(*TABLES.values())
    upgraded(empty_url, "sessions")
    assert tables(empty_url) & set().union(*TABLES.values()) == TABLES["sessions"]
    upgraded(empty_url, None)
    assert shape(empty_url) == shape(database_url)


def test_tables_that_were_there_once_are_kept(database_url: str) -> None:
    before = shape(database_url)
    upgraded(database_url, "none")
    assert shape(database_url) == before
    with Service(database_url, products="learning") as service:
        assert service.admin.get("/api/v1/sessions").status_code == 404


def test_a_product_that_is_switched_on_before_its_tables_are_there_is_refused(empty_url: str) -> None:
    upgraded(empty_url, "sessions")
    for command in (("serve", "--port", "0"), ("plans", "show")):
        done = tollgate(*command, database_url=empty_url, products="sessions,learning")
        expected = "The database has no tables yet of a product that is switched on by TOLLGATE_PRODUCTS: run 'tollgate db upgrade'."
        assert (done.returncode, done.stderr) == (1, f"tollgate: {expected}\n")
    assert tables(empty_url).isdisjoint(TABLES["learning"])


@pytest.mark.parametrize("value", ["sesions", "sessions,none", "Sessions"])
def test_a_product_that_does_not_exist_is_named_with_those_that_do(value: str, empty_url: str) -> None:
    for command in (("serve", "--port", "0"), ("db", "upgrade")):
        done = tollgate(*command, database_url=empty_url, products=value)
        assert done.returncode == 1
        assert done.stderr.startswith("tollgate: TOLLGATE_PRODUCTS: ")
        assert "some of sessions, learning, operations, conversations, or none" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert tables(empty_url) == set()


def test_later_versions_do_without_the_tables_of_products_that_are_off(empty_url: str) -> None:
    async def step_by_step() -> None:
        engine = create_engine(empty_url)
        await upgrade(engine, LAST_WITHOUT_SETTING, tables_of(()))
        await upgrade(engine, "head", tables_of(()))
        await engine.dispose()

    asyncio.run(step_by_step())
    assert tables(empty_url).isdisjoint(set().union(*TABLES.values()))


def test_each_product_that_can_be_named_is_stored_and_says_which_tables_are_its_own() -> None:
    assert tuple(STORED_PRODUCTS) == PRODUCTS
    assert {name: {table.name for table in stored.tables} for name, stored in STORED_PRODUCTS.items()} == TABLES
