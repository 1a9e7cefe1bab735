"""Start a service of its own, play the reference products' stories on it, and print what happened."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from api.commands import CommandFailed
from api.commands.tokens import sign
from api.demo import coaching, learning, messaging, operations
from api.demo.stage import Stage, Story, StoryFailed
from api.settings import Settings
from infrastructure.embedded.data_directory import DataDirectory
from infrastructure.embedded.postgres import EmbeddedPostgresMissing, require_programs

STORIES: Final[Mapping[str, Story]] = {
    "Coaching sessions": coaching.play,
    "Learning plans": learning.play,
    "AI operations": operations.play,
    "Messaging": messaging.play,
}
PLANS: Final = "plans.yaml"
START_SECONDS_MAX: Final = 60
STOP_SECONDS_MAX: Final = 40
TOKEN_SECONDS: Final = 600


def demo(settings: Settings, out: Console) -> None:
    """Plays all stories. Raises CommandFailed where the service does not start, or answers other than a story expects."""
    file = settings.plans or Path(PLANS)
    if not file.is_file():
        raise CommandFailed(f"No plan file {file}: run the demo in the project's directory, or set TOLLGATE_PLANS.")
    try:
        require_programs()
    except EmbeddedPostgresMissing as error:
        raise CommandFailed(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="tollgate-demo-") as scratch:
        own = Settings(data_dir=Path(scratch), plans=file, database_url=None)
        with _service(own) as address:
            admin_key = DataDirectory(own.data_dir).secret("admin_key", prefix="tg_")
            stage = Stage(address, admin_key, lambda customer: sign(own, customer, TOKEN_SECONDS))
            for title, story in STORIES.items():
                out.print(_played(title, story, stage))


def _played(title: str, story: Story, stage: Stage) -> Table:
    table = Table("", "answer", title=title, title_justify="left", title_style="bold")
    try:
        for row in story(stage):
            table.add_row(row.scene, row.answer)
    except (StoryFailed, httpx.HTTPError) as error:
        raise CommandFailed(f"{title}: {error}") from error
    return table


@contextmanager
def _service(settings: Settings) -> Iterator[str]:
    """A service with a database of its own, on a free port."""
    command = [sys.executable, "-m", "api", "serve", "--port", "0", "--data-dir", str(settings.data_dir), "--plans", str(settings.plans)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
    log = settings.data_dir / "service.log"
    with log.open("w") as output, subprocess.Popen(command, env=inherited, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Waits until the service says where it listens."""
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"ready at (\S+)", log.read_text()):
            return found.group(1)
        time.sleep(0.05)
    raise CommandFailed(f"The service did not start: {log.read_text().strip().splitlines()[-1:]}")
