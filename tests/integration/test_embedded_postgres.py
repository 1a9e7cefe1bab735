"""The embedded PostgreSQL and its data directory, with real processes that are really killed."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import psutil
import pytest

from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError, DataDirectoryInUse
from infrastructure.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.integration.service import HEEDS_CTRL_C

SOURCES = Path(__file__).parents[2] / "src"

HOLDER = """
from infrastructure.embedded.data_directory import DataDirectory
with DataDirectory(path):
    print("ready", flush=True)
    time.sleep(600)
"""

SERVICE = """
from infrastructure.embedded.data_directory import DataDirectory
from infrastructure.embedded.postgres import EmbeddedPostgres
with DataDirectory(path):
    EmbeddedPostgres(path).start()
    print("ready", flush=True)
    time.sleep(600)
"""

Service = subprocess.Popen[str]
Spawn = Callable[[str, Path], Service]


@pytest.fixture
def new_directory() -> Iterator[Path]:
    """A directory for a server. Not `tmp_path`: pytest keeps those, and closes them to the server's account when it next runs."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        yield Path(name)
        for pid_file in Path(name).glob("**/postgres/postmaster.pid"):
            EmbeddedPostgres(pid_file.parents[1]).stop()


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A directory in which a server has run and booked 7 units; shared, because making one takes a while."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        postgres = EmbeddedPostgres(Path(name))
        book(postgres.start())
        postgres.stop()
        yield Path(name)


@pytest.fixture
def directory(made: Path) -> Iterator[Path]:
    """The shared directory, for tests that leave the data as it is."""
    yield made
    EmbeddedPostgres(made).stop()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Runs a script on a directory as the leader of its own process group, as a terminal would; killed when the test ends."""
    with ExitStack() as stack:

        def start(script: str, path: Path) -> Service:
            program = f"import pathlib, sys, time; path = pathlib.Path(sys.argv[1]); {script}"
            command = (*HEEDS_CTRL_C, sys.executable, "-c", program, str(path))
            environment = os.environ | {"PYTHONPATH": str(SOURCES)}
            service = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True)
            )
            stack.callback(service.kill)
            return service

        yield start


def copy(made: Path, directory: Path) -> Path:
    subprocess.run(("cp", "-a", f"{made}/.", directory), check=True)
    return directory


def until_ready(service: Service) -> None:
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"


def ask(url: str, statement: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def book(url: str) -> None:
    ask(url, "CREATE TABLE booked AS SELECT 7 AS units")


def booked(url: str) -> object:
    return ask(url, "SELECT units FROM booked")


def server_pid(directory: Path) -> int:
    return int((directory / "postgres" / "postmaster.pid").read_text().split()[0])


def test_data_survives_a_stop_and_a_second_start(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    assert booked(postgres.start()) == 7
    postgres.stop()
    assert booked(postgres.start()) == 7


def test_commands_beside_a_service_find_its_server_while_it_runs(directory: Path) -> None:
    postgres, beside = EmbeddedPostgres(directory), EmbeddedPostgres(directory)
    assert beside.running_url() is None
    url = postgres.start()
    assert beside.running_url() == url
    postgres.stop()
    assert beside.running_url() is None
    postgres.stop()


def test_the_server_is_durable_and_on_no_network(directory: Path) -> None:
    url = EmbeddedPostgres(directory).start()
    assert ask(url, "SHOW fsync") == "on"
    assert ask(url, "SHOW synchronous_commit") == "on"
    assert ask(url, "SHOW full_page_writes") == "on"
    assert ask(url, "SHOW data_checksums") == "on"
    assert ask(url, "SHOW wal_compression") == "off"
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT datlocale FROM pg_database WHERE datname = 'tollgate'") == "C.UTF-8"
    assert not psutil.Process(server_pid(directory)).net_connections("inet")
    assert stat.S_IMODE((directory / "postgres").stat().st_mode) == 0o700


def test_the_environment_neither_leads_the_server_astray_nor_reaches_it(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPORT", "PGDATA", "PGHOST", "PGUSER", "PGOPTIONS", "TOLLGATE_JWT_SECRET"):
        monkeypatch.setenv(name, "1")
    assert booked(EmbeddedPostgres(directory).start()) == 7
    environment = psutil.Process(server_pid(directory)).environ()
    assert "TOLLGATE_JWT_SECRET" not in environment


def test_a_start_recovers_after_kill_9_of_the_server(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    postgres.start()
    killed = server_pid(directory)
    os.kill(killed, signal.SIGKILL)
    assert booked(postgres.start()) == 7
    assert server_pid(directory) != killed


def test_a_killed_servers_pid_that_is_another_processs_by_now_does_not_stop_a_start(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    postgres.start()
    pid_file, socket_lock = directory / "postgres" / "postmaster.pid", directory / "postgres" / ".s.PGSQL.5432.lock"
    killed, owner = server_pid(directory), pid_file.stat()
    os.kill(killed, signal.SIGKILL)
    with subprocess.Popen(("sleep", "600"), user=owner.st_uid) as other:
        for file in (pid_file, socket_lock):
            file.write_text(file.read_text().replace(str(killed), str(other.pid), 1))
        assert postgres.running_url() is None
        assert booked(postgres.start()) == 7
        assert other.poll() is None
        other.kill()


def test_a_start_goes_on_with_the_server_that_outlived_its_service(directory: Path, spawn: Spawn) -> None:
    service = spawn(SERVICE, directory)
    until_ready(service)
    outlived = server_pid(directory)
    service.kill()
    service.wait()
    with DataDirectory(directory):
        assert booked(EmbeddedPostgres(directory).start()) == 7
    assert server_pid(directory) == outlived


async def test_a_start_waits_for_a_server_that_is_shutting_down_and_starts_another(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    url = await asyncio.to_thread(postgres.start)
    connection = await asyncpg.connect(url)
    ending = server_pid(directory)
    os.kill(ending, signal.SIGTERM)  # lets whoever is connected finish, and no one new in
    while await asyncio.to_thread(postgres.running_url):
        pass
    start = asyncio.create_task(asyncio.to_thread(postgres.start))
    await asyncio.sleep(0.3)
    assert not start.done()
    await connection.close()
    assert await start == url
    assert server_pid(directory) != ending


def test_a_start_waits_for_the_last_process_of_a_killed_server(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory)
    postgres.start()
    server = psutil.Process(server_pid(directory))
    last = server.children()[0]
    last.suspend()
    server.kill()
    with ThreadPoolExecutor() as pool:
        start = pool.submit(postgres.start)
        time.sleep(0.3)
        waited = not start.done()
        last.resume()
        assert booked(start.result()) == 7
    assert waited


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(directory: Path, spawn: Spawn) -> None:
    service = spawn(SERVICE, directory)
    until_ready(service)
    os.killpg(service.pid, signal.SIGINT)
    service.wait()
    assert EmbeddedPostgres(directory).running_url() is not None


def interrupt_making(directory: Path, spawn: Spawn, kill: Callable[[int, int], None]) -> None:
    service = spawn(SERVICE, directory)
    while not list(directory.glob("postgres.new-*/PG_VERSION")):
        assert service.poll() is None
    kill(service.pid, signal.SIGKILL)
    service.wait()
    assert not (directory / "postgres").exists()


def test_the_making_of_new_data_begins_anew_after_it_was_killed(new_directory: Path, spawn: Spawn) -> None:
    interrupt_making(new_directory, spawn, os.killpg)
    (remains,) = new_directory.glob("postgres.new-*")
    book(EmbeddedPostgres(new_directory).start())
    assert not remains.exists()


def test_the_making_of_new_data_is_not_disturbed_by_one_that_outlived_its_service(new_directory: Path, spawn: Spawn) -> None:
    interrupt_making(new_directory, spawn, os.kill)
    book(EmbeddedPostgres(new_directory).start())


def test_what_is_not_a_postgresqls_data_is_left_alone(new_directory: Path) -> None:
    precious = new_directory / "postgres" / "precious"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(EmbeddedPostgresError, match="holds something other than a PostgreSQL's data"):
        EmbeddedPostgres(new_directory).start()
    assert precious.exists()


def test_a_failed_start_gives_the_servers_reason_in_one_line(new_directory: Path, made: Path) -> None:
    version = copy(made, new_directory) / "postgres" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"^PostgreSQL did not start: .*FATAL:  database files are incompatible with server.*$"):
        EmbeddedPostgres(new_directory).start()


@pytest.mark.parametrize("name", ["deep/" * 20, "a,b"], ids=["too long", "a list of two hosts"])
def test_a_path_unfit_for_a_socket_gets_a_private_socket_directory_elsewhere(new_directory: Path, made: Path, name: str) -> None:
    path = new_directory / name
    path.mkdir(parents=True)
    postgres = EmbeddedPostgres(copy(made, path))
    url = postgres.start()
    assert booked(url) == 7
    assert postgres.running_url() == url
    socket_directory = Path(str(ask(url, "SHOW unix_socket_directories")))
    assert socket_directory.parent == Path(tempfile.gettempdir()).resolve()
    assert stat.S_IMODE(socket_directory.stat().st_mode) == 0o700
    postgres.stop()
    assert postgres.start() == url
    postgres.stop()
    socket_directory.rmdir()


def test_a_path_is_not_taken_for_a_shells_or_a_urls(new_directory: Path, made: Path) -> None:
    path = new_directory / "$HOME `id` \"'%41+&;é"
    path.mkdir()
    assert booked(EmbeddedPostgres(copy(made, path)).start()) == 7


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path, spawn: Spawn) -> None:
    holder = spawn(HOLDER, tmp_path)
    until_ready(holder)
    with pytest.raises(DataDirectoryInUse) as refusal:
        DataDirectory(tmp_path).acquire()
    assert str(refusal.value) == f"The data directory {tmp_path} is in use by process {holder.pid}."


def test_kill_9_of_its_holder_frees_the_directory(tmp_path: Path, spawn: Spawn) -> None:
    holder = spawn(HOLDER, tmp_path)
    until_ready(holder)
    holder.kill()
    holder.wait()
    DataDirectory(tmp_path).acquire()


def test_a_released_directory_can_be_acquired_again(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    with first, pytest.raises(DataDirectoryInUse):
        second.acquire()
    with second:
        first.release()


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    assert stat.S_IMODE(DataDirectory(tmp_path / "a" / "b").path.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match=f"{tmp_path}/file/data cannot be created: Not a directory"):
        DataDirectory(tmp_path / "file" / "data")


def test_secrets_are_stable_private_and_distinct(tmp_path: Path) -> None:
    key = DataDirectory(tmp_path).secret("admin-key", prefix="tg_")
    assert key.startswith("tg_")
    assert len(key) >= 40
    assert DataDirectory(tmp_path).secret("admin-key", prefix="tg_") == key
    assert DataDirectory(tmp_path).secret("jwt-secret") not in key
    assert stat.S_IMODE((tmp_path / "admin-key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin-key", "jwt-secret"]


def test_all_who_ask_for_a_new_secret_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        for n in range(20):
            assert len(set(pool.map(DataDirectory(tmp_path).secret, [f"secret-{n}"] * 16))) == 1


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").touch()
    with pytest.raises(DataDirectoryError, match="jwt-secret is empty"):
        DataDirectory(tmp_path).secret("jwt-secret")
