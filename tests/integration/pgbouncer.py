"""PgBouncer as the packages of Debian have it, in front of the tests' PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy.engine import make_url

from tests.integration.service import until

PROGRAM: Final = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed: apt-get install pgbouncer")


def version() -> tuple[int, ...]:
    """Of the program, such as (1, 18, 0)."""
    assert PROGRAM
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, told.split()[1].split(".")))


@contextmanager
def pooling(database_url: str, mode: str = "transaction", **settings: object) -> Iterator[str]:
    """The URL of a pooler in front of this database. It opens few connections, so that clients change places on them all the time."""
    assert PROGRAM
    url = make_url(database_url)
    directory = Path(str(url.query["host"]))
    owner = directory.stat()
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="tollgate-pgbouncer-") as name:
        scratch = Path(name)
        file = scratch / "pgbouncer.ini"
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": 3,
            "server_round_robin": 1,
            "ignore_startup_parameters": "extra_float_digits",
            **settings,
        }
        lines = [f"{key} = {value}" for key, value in options.items()]
        target = f"{url.database} = host={directory} port={url.query['port']} user={url.username} dbname={url.database}"
        file.write_text("\n".join(["[databases]", target, "[pgbouncer]", *lines, ""]))
        log = scratch / "log"
        for path in (scratch, file):
            os.chown(path, owner.st_uid, owner.st_gid)
        with log.open("w") as out:
            # PgBouncer refuses to run as root, and only its owner may reach the server's socket.
            account: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
            process = subprocess.Popen([PROGRAM, str(file)], stdout=out, stderr=out, cwd=scratch, **account)
        try:
            until(lambda: process.poll() is not None or _listens(port), 30, "PgBouncer to listen")
            assert process.poll() is None, log.read_text()
            yield f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
