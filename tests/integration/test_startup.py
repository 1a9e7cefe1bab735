"""Starting, stopping and being killed: with the embedded PostgreSQL, in real processes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.integration.coaching import Customer, at_once
from tests.integration.service import HEEDS_CTRL_C, START_SECONDS_MAX, Database, Databases, Service, environment, tollgate, until

Begin = Callable[..., Service]
Kill = Callable[[Service], object]


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Path, str, str]]:
    """A data directory in which a service has run, and a customer and its session of that time."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        with Service(data_dir=Path(name)) as service:
            customer = Customer.new(service)
            session = customer.created()
        yield Path(name), customer.id, session


@pytest.fixture
def data_dir(made: tuple[Path, str, str]) -> Iterator[Path]:
    """A copy of it. Not pytest's own temporary directory: it is closed to the account that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        subprocess.run(("cp", "-a", f"{made[0]}/.", name), check=True)
        yield Path(name)
        EmbeddedPostgres(Path(name)).stop()


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins to start a service, and discards what is left of it in the end."""
    with ExitStack() as stack:

        def begin(database_url: str | None = None, **options: Any) -> Service:
            service = Service(database_url, **options).begin()
            stack.callback(service.discard)
            return service

        yield begin


def postgres_processes(data_dir: Path) -> list[int]:
    file = data_dir / "postgres" / "postmaster.pid"
    pids = [int(file.read_text().split()[0])] if file.exists() else []
    return [pid for pid in pids if psutil.pid_exists(pid) and is_alive(psutil.Process(pid))]


def finds_its_data(service: Service, made: tuple[Path, str, str]) -> None:
    _, customer, session = made
    assert Customer(customer, service).get(session).status_code == 200
    Customer(customer, service).created()


def is_alive(process: psutil.Process) -> bool:
    """A zombie is none of ours: whatever is the first process here has yet to take note of its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that cannot do what it should has to say about it."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("tollgate: ")
    (line,) = done.stderr.splitlines()
    return line


def ctrl_c(service: Service) -> None:
    """As a terminal does it: to the whole process group."""
    os.killpg(service.process.pid, signal.SIGINT)


def terminate(service: Service) -> None:
    service.process.terminate()


@pytest.mark.parametrize(("end", "workers"), [(ctrl_c, 1), (ctrl_c, 2), (terminate, 1)])
def test_service_and_database_stop_cleanly_and_a_second_start_finds_its_data(
    begin: Begin, data_dir: Path, made: tuple[Path, str, str], end: Kill, workers: int
) -> None:
    service = begin(data_dir=data_dir, workers=workers, plans=None).until_ready()
    finds_its_data(service, made)
    port, processes = service.port, psutil.Process(service.process.pid).children(recursive=True)
    assert postgres_processes(data_dir)
    end(service)
    assert service.wait() == 0, service.errors
    assert service.errors == ""
    assert not postgres_processes(data_dir)
    until(lambda: not any(map(is_alive, processes)), expected="all processes to be gone")
    assert is_free(port)
    assert EmbeddedPostgres(data_dir).running_url() is None


def test_what_a_fresh_start_prints_works_when_pasted() -> None:
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        secrets = {"admin_key": None, "jwt_secret": None}
        with Service(data_dir=Path(name), arguments=("--example-customer", "demo"), **secrets) as service:
            key = re.search(r"admin key +(\S+)", service.output)
            assert key
            assert service.key(key[1]).get("/api/v1/customers/demo").json()["plan"] == "free"
            (line,) = re.findall(r"^curl .*$", service.output, re.MULTILINE)
            if shutil.which("curl"):
                answer = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
                assert '"status":"uploading"' in answer
            before = (key[1], (Path(name) / "jwt_secret").read_text())
        with Service(data_dir=Path(name), **secrets) as again:
            assert key[1] not in again.output
            assert f"it is kept in {Path(name) / 'admin_key'}" in again.output
            assert again.key(before[0]).get("/api/v1/customers/demo").status_code == 200
            assert (Path(name) / "jwt_secret").read_text() == before[1]
        with Service(data_dir=Path(name), arguments=["--show-admin-key"], **secrets) as shown:
            assert f"admin key   {key[1]}" in shown.output


def test_a_second_instance_on_the_same_data_is_refused_and_the_first_goes_on(database_url: str) -> None:
    with Service(database_url) as service:
        line = one_line(tollgate("serve", "--port", 0, "--data-dir", service.data_dir, database_url=database_url))
        assert line == f"tollgate: The data directory {service.data_dir} is in use by process {service.process.pid}."
        assert service.anyone.get("/readyz").status_code == 200


def test_a_taken_port_is_named_and_no_database_is_started_for_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = one_line(tollgate("serve", "--port", port, "--data-dir", tmp_path))
    assert f"127.0.0.1:{port}" in line
    assert "Address already in use" in line
    assert not (tmp_path / "postgres").exists()


def test_a_plan_file_that_cannot_be_used_is_named_with_its_line(database_url: str, tmp_path: Path) -> None:
    files = {
        "missing.yaml": (None, "missing.yaml: expected a readable file: No such file or directory"),
        "typo.yaml": ("plans:\n  free:\n    entitlements:\n      sessions: {type: meterd, limit: 10}\n", "typo.yaml:4: plans.free."),
    }
    starts = []
    for name, (text, _) in files.items():
        file = tmp_path / name
        if text is not None:
            file.write_text(text)
        arguments = ("serve", "--port", 0, "--data-dir", tmp_path / file.stem, "--plans", file)
        starts.append(partial(tollgate, *arguments, database_url=database_url))
    for done, (_, expected) in zip(at_once(*starts), files.values(), strict=True):
        assert expected in one_line(done)
    assert Database(database_url).value("SELECT count(*) FROM plan_version") == 0


def test_a_database_out_of_reach_is_named_without_its_password(databases: Databases, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        urls = [
            f"postgresql://ada:secret@127.0.0.1:{port}/tollgate",
            databases.server.url.replace("/tollgate?", "/no_such_database?"),
            "postgresql://ada:secret@no.such.host.invalid/tollgate",
        ]
        starts = [partial(tollgate, "serve", "--port", 0, "--data-dir", tmp_path / str(n), database_url=url) for n, url in enumerate(urls)]
        for done in at_once(*starts):
            line = one_line(done)
            assert line.startswith(("tollgate: The database at postgresql://", "tollgate: The server at postgresql://"))
            assert "is out of reach: " in line or "has no database" in line
            assert "secret" not in line


def kill_service(service: Service) -> None:
    """Nothing but the process that was started, as an impatient operator or the kernel does it."""
    service.process.kill()
    service.process.wait()


def kill_everything(service: Service) -> None:
    """All processes of the service, and PostgreSQL with all of its own, as a power failure does it."""
    (postmaster,) = postgres_processes(service.data_dir)
    server = psutil.Process(postmaster)
    server.suspend()
    processes = server.children(recursive=True)
    service.kill_group()
    for process in (server, *processes):
        process.kill()
    until(lambda: not any(map(is_alive, (server, *processes))))


@pytest.mark.parametrize(("kill", "workers"), [(kill_service, 1), (kill_service, 2), (kill_everything, 1)])
def test_a_start_after_kill_9_recovers_on_the_same_port(
    begin: Begin, data_dir: Path, made: tuple[Path, str, str], kill: Kill, workers: int
) -> None:
    killed = begin(data_dir=data_dir, workers=workers, plans=None).until_ready()
    customer = Customer(made[1], killed)
    session = customer.created()
    port = killed.port
    workers_left = psutil.Process(killed.process.pid).children(recursive=True)
    kill(killed)
    until(lambda: is_free(port), expected="the port to be free again")
    until(lambda: not any(map(is_alive, workers_left)), expected="all processes to be gone")
    with Service(data_dir=data_dir, workers=workers, port=port, plans=None) as service:
        assert customer.at(service).get(session).status_code == 200
        finds_its_data(service, made)
    assert not postgres_processes(data_dir)


def test_a_worker_that_is_killed_is_replaced(database_url: str) -> None:
    with Service(database_url, workers=2) as service:
        customer = Customer.new(service)
        victim, *_ = [process for process in psutil.Process(service.process.pid).children() if "spawn_main" in " ".join(process.cmdline())]
        victim.kill()

        def creates() -> bool:
            try:
                return customer.create().status_code == 201
            except httpx.TransportError:
                return False

        until(creates, expected="the service to go on")
        until(lambda: len(psutil.Process(service.process.pid).children()) >= 3, expected="a new worker")


def test_services_that_start_at_once_on_an_empty_database_all_come_up(databases: Databases, begin: Begin) -> None:
    url = databases.empty()
    services = [begin(url, arguments=["--migrate"]) for _ in range(2)]
    until(lambda: all(service.ended or "is ready at" in service.output for service in services), START_SECONDS_MAX, "all to be ready")
    assert [service.errors for service in services if service.ended] == []
    assert Database(url).value("SELECT count(*) FROM plan_version WHERE version > 1") == 0
    databases.drop(url)


@pytest.mark.parametrize(("before", "ignored"), [((), True), (HEEDS_CTRL_C, False)], ids=["as it is", "as the tests start it"])
def test_a_service_heeds_ctrl_c_where_its_tests_run_in_the_background_of_a_script(before: tuple[str, ...], ignored: bool) -> None:
    in_background = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    asked = (sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)")
    assert subprocess.run((*in_background, *before, *asked), capture_output=True, text=True, check=True).stdout == f"{ignored}\n"


def test_the_environment_of_the_tests_reaches_no_service() -> None:
    assert not [name for name in environment() if name.startswith("TOLLGATE_")]


def test_the_library_of_phone_numbers_is_not_loaded_before_a_number_is_read() -> None:
    loaded = "import sys, api.container; print('phonenumbers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "False\n"
