"""Proves what is in this folder without a container engine: `make deploy-check`, as root, on Debian with debootstrap.

The steps of the Dockerfile are run one by one in fresh Debian roots, the service is started in the last one against a PostgreSQL of this
machine, the Kubernetes manifests are held against Kubernetes' own schemas, and the systemd unit is verified by systemd. The compose file
is read, and its shape is looked at; what it starts is the same image.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from infrastructure.embedded.postgres import EmbeddedPostgres

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
IMAGES: Final = {"debian:bookworm-slim": "bookworm"}
ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
CHROOT: Final = "/usr/sbin/chroot"
PORT: Final = 8790
READY_SECONDS_MAX: Final = 60


@dataclass
class Stage:
    """One `FROM` of the Dockerfile: a root directory, and what the lines so far have set."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    user: str = "0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def home(self) -> str:
        """The home directory of the stage's user, as a container engine sets it."""
        users = (line.split(":") for line in (self.root / "etc/passwd").read_text().splitlines())
        return next((fields[5] for fields in users if fields[2] == self.user), "/")

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """Starts a program in the root, as the stage's user."""
        chroot = (CHROOT, f"--userspec={self.user}:{self.user}", str(self.root), "/bin/sh", "-c", 'cd "$0" && exec "$@"', self.workdir)
        return subprocess.Popen((*chroot, *command), env={**self.environment, "HOME": self.home()})


def main() -> None:
    """Runs all proofs; the first that fails ends the program with what it said."""
    unit()
    manifests()
    compose()
    with tempfile.TemporaryDirectory(prefix="tollgate-image-") as scratch:
        image = dockerfile(Path(scratch))
        serves(image)
    print("All of deploy/ that can be proven here holds.")


def unit() -> None:
    """The unit, with programs that exist."""
    with tempfile.TemporaryDirectory() as scratch:
        text = (DEPLOY / "tollgate.service").read_text().replace("/opt/tollgate/bin/tollgate", "/bin/true")
        file = Path(scratch, "tollgate.service")
        file.write_text(text)
        done = subprocess.run(("systemd-analyze", "verify", str(file)), capture_output=True, text=True, check=False)
    if done.returncode or done.stderr.strip():
        sys.exit(f"systemd-analyze verify: {done.stderr}")
    print("tollgate.service: verified by systemd-analyze")


def manifests() -> None:
    """Each manifest against the schemas of Kubernetes, strictly: an unknown key is a mistake."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run((sys.executable, "-m", "venv", scratch), check=True)
        subprocess.run((f"{scratch}/bin/pip", "install", "--quiet", "kubernetes-validate"), check=True)
        for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
            subprocess.run((f"{scratch}/bin/kubernetes-validate", "--strict", str(file)), check=True)
            print(f"kubernetes/{file.name}: valid")


def compose() -> None:
    """What the services of the compose file wait for and mount is there."""
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = content["services"]
    wanted = {name for service in services.values() for name in service.get("depends_on", {})}
    if missing := wanted - services.keys():
        sys.exit(f"compose.yaml: no service {missing}")
    known = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    if unknown := set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text())) - known:
        sys.exit(f"compose.yaml: env.example does not name {unknown}")
    print("compose.yaml: read; its services and variables are there")


def dockerfile(scratch: Path) -> Stage:
    """Runs every line. The last stage is the image."""
    stages: list[Stage] = []
    names: dict[str, Stage] = {}
    for instruction, rest in _lines((DEPLOY / "Dockerfile").read_text()):
        print(f"Dockerfile: {instruction} {rest}", flush=True)
        if instruction == "FROM":
            image, *alias = rest.split(" AS ")
            stage = Stage(_base(scratch / str(len(stages)), IMAGES[image]))
            stages.append(stage)
            names.update(dict.fromkeys(alias, stage))
        elif instruction == "COPY":
            _copy(stage, names, shlex.split(rest))
        elif instruction == "RUN":
            with _as_this_machine(stage.root):
                if status := stage.run("/bin/sh", "-c", rest).wait():
                    sys.exit(f"RUN ended with status {status}")
        elif instruction == "ENV":
            name, _, value = rest.partition("=")
            stage.environment[name] = value
        elif instruction == "HEALTHCHECK":
            stage.health = json.loads(rest[rest.index("[") :])
        elif instruction in ("USER", "WORKDIR"):
            setattr(stage, instruction.lower(), rest)
        elif instruction in ("ENTRYPOINT", "CMD"):
            setattr(stage, {"ENTRYPOINT": "entrypoint", "CMD": "command"}[instruction], json.loads(rest))
        elif instruction not in ("VOLUME", "EXPOSE"):
            sys.exit(f"Dockerfile: {instruction} is not known here")
    return stages[-1]


def serves(image: Stage) -> None:
    """Upgrades a database, serves it, answers its own health check, and has no compiler in it."""
    for program in ("gcc", "cc", "make", "pip", "pip3"):
        if shutil.which(program, path=f"{image.root}/usr/bin:{image.root}/opt/tollgate/bin"):
            sys.exit(f"{program} is in the image")
    with _database() as url:
        settings = {"TOLLGATE_DATABASE_URL": url, "TOLLGATE_JWT_SECRET": "s" * 32, "TOLLGATE_UPLOAD_SECRET": "u" * 32}
        image.environment |= settings
        if image.run(*image.entrypoint, "db", "upgrade").wait():
            sys.exit("the image cannot upgrade a database")
        command = [str(PORT) if part == "8000" else part for part in image.command]
        service = image.run(*image.entrypoint, *command)
        try:
            _ready(service)
            health = [part.replace("8000", str(PORT)) for part in image.health]
            if image.run(*health).wait():
                sys.exit("the health check of a healthy service fails")
        finally:
            service.terminate()
            status = service.wait(30)
        if status:
            sys.exit(f"the service ended with status {status}")
    size = subprocess.run(("du", "-sm", str(image.root)), capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"The image serves, as user {image.user}; {size} MB")


def _ready(service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=3):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit("the service did not become ready")


@contextmanager
def _database() -> Iterator[str]:
    """A PostgreSQL on a port of this machine, since a socket's directory is not in the image's root."""
    with tempfile.TemporaryDirectory(prefix="tollgate-database-") as name:
        postgres = EmbeddedPostgres(Path(name))
        socket = re.search(r"host=([^&]+)", postgres.start())
        assert socket
        place = urllib.request.unquote(socket[1])
        forward = ("socat", "TCP-LISTEN:5499,bind=127.0.0.1,reuseaddr,fork", f"UNIX-CONNECT:{place}/.s.PGSQL.5432")
        with subprocess.Popen(forward) as forwarder:
            try:
                time.sleep(0.5)
                yield "postgresql://postgres@127.0.0.1:5499/tollgate"
            finally:
                forwarder.terminate()
                postgres.stop()


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            yield instruction, rest


def _base(root: Path, release: str) -> Path:
    subprocess.run(("debootstrap", "--variant=minbase", release, str(root)), check=True, stdout=subprocess.DEVNULL)
    return root


def _copy(stage: Stage, names: Mapping[str, Stage], arguments: list[str]) -> None:
    source = ROOT
    if arguments[0].startswith("--from="):
        source = names[arguments.pop(0).removeprefix("--from=")].root
    *files, target = arguments
    destination = stage.root / target.lstrip("/")
    for file in files:
        origin = source / file.lstrip("/")
        if origin.is_dir():
            shutil.copytree(origin, destination, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (destination if target.endswith("/") else destination.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, destination)


@contextmanager
def _as_this_machine(root: Path) -> Iterator[None]:
    """The way to the network and to packages that this machine has: its resolver, certificates and pip's settings, while a line runs."""
    places = [place for place in map(Path, os.environ.get("DEPLOY_CHECK_MOUNTS", "").split(":")) if place.exists() and place.is_absolute()]
    mounted = []
    shutil.copy2("/etc/resolv.conf", root / "etc/resolv.conf")
    try:
        for place in places:
            target = root / str(place).lstrip("/")
            if place.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            subprocess.run(("mount", "--bind", str(place), str(target)), check=True)
            subprocess.run(("mount", "-o", "remount,bind,ro", str(target)), check=True)
            mounted.append(target)
        yield
    finally:
        for target in reversed(mounted):
            subprocess.run(("umount", str(target)), check=True)


if __name__ == "__main__":
    main()
