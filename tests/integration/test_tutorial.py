"""The tutorial is carried out, as it stands, on a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infrastructure.embedded.data_directory import DataDirectory
from tests.integration.service import START_SECONDS_MAX, STOP_SECONDS_MAX

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "architecture" / "add-your-own-limited-resource.md"
STEP = re.compile(r"^`(?P<path>[^`\n]+)`\n|^```(?P<kind>python|diff)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


def steps() -> Iterator[tuple[str, str, str]]:
    """Each block of code with the file that the text names last before it."""
    path = ""
    for found in STEP.finditer(TUTORIAL.read_text()):
        path = found["path"] or path
        if found["kind"]:
            yield path, found["kind"], found["content"]


def carry_out(tree: Path) -> None:
    for path, kind, content in steps():
        file = tree / path
        if kind == "python":
            assert not file.exists(), f"{path} is said to be new"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            continue
        lines = content.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = file.read_text()
        assert text.count(before) == 1, f"the tutorial shows lines of {path} that are not there, or not once:\n{before}"
        file.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tollgate-tutorial-") as directory:
        yield made(Path(directory))


def made(copy: Path) -> Path:
    for name in ("src", "tests/unit"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("plans.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    if (known := ROOT / ".mypy_cache").is_dir():
        shutil.copytree(known, copy / known.name)  # or the types of everything else would be checked once more
    carry_out(copy)
    return copy


def tollgate(tree: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    command = [sys.executable, "-m", "api", *arguments, "--data-dir", str(tree / "data")]
    return subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def service(tree: Path) -> Iterator[str]:
    said = []
    with tollgate(tree, "serve", "--port", "0", "--plans", "plans.yaml") as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"ready at (\S+)", line):
                yield found[1]
                break
        else:
            pytest.fail("".join(said))
        process.terminate()
        process.communicate(timeout=STOP_SECONDS_MAX)


def test_the_tutorials_product_admits_three_exports_and_refuses_the_fourth(tree: Path, service: str) -> None:
    headers = {"Authorization": f"Bearer {DataDirectory(tree / 'data').secret('admin_key')}", "Tollgate-Customer": "acme"}
    with httpx.Client(base_url=f"{service}/api/v1", headers=headers) as client:
        assert client.put("/customers/acme", json={"plan": "reporting"}).status_code == 201

        answers = [client.post("/exports", json={"title": f"Q{n}"}, headers={"Idempotency-Key": f"q{n}"}) for n in (1, 2, 2, 3, 4)]

        assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 403]
        assert answers[2].headers["Idempotency-Replayed"] == "true"
        assert answers[4].json()["detail"]["feature"] == "report_exports"
        assert client.get("/customers/acme/usage").json()["features"]["report_exports"]["display"] == "0/3"

    reconcile = tollgate(tree, "reconcile")
    said, _ = reconcile.communicate(timeout=START_SECONDS_MAX)
    assert reconcile.returncode == 0, said


def test_the_tutorials_code_passes_what_make_check_asks_for(tree: Path) -> None:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    checks = (("ruff", "format", "--check"), ("ruff", "check"), ("lint-imports",), ("mypy",), ("pytest", "-q", "tests/unit/infrastructure"))
    for program, *arguments in checks:
        command = [binaries / program, *arguments]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorial_says_how_much_it_takes() -> None:
    new = {path for path, kind, content in steps() if kind == "python" and content}
    changed = {path for path, kind, _ in steps() if kind == "diff"}
    assert (len(new), len(changed)) == (4, 5)
