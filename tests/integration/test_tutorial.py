"""The tutorial is carried out, as it stands, on a copy of the repository; what it makes passes what everything else has to pass."""

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

pytestmark = pytest.mark.timeout(1_200)  # each of them takes a minute at most where nothing else is going on

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "architecture" / "add-your-own-limited-resource.md"
STEP = re.compile(r"^`(?P<path>[^`\n]+)`\n|^```(?P<kind>python|diff)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
MIGRATIONS = Path("src/infrastructure/sql/migrations/versions")
COPIED = ("README.md", "CONTRIBUTING.md", "Makefile", "plans.yaml", "pyproject.toml", "docs", "src", "tests", "clients", "examples")

NEW_FILES_MAX = 4
CHANGED_FILES_MAX = 4
LINES_MAX = 120


def steps() -> Iterator[tuple[str, str, str]]:
    """Each block of code with the file that the text names last before it."""
    path = ""
    for found in STEP.finditer(TUTORIAL.read_text()):
        path = found["path"] or path
        if found["kind"]:
            yield path, found["kind"], found["content"]


def carry_out(tree: Path) -> None:
    last = max(file.name[:4] for file in (tree / MIGRATIONS).glob("[0-9]*.py"))
    numbers = {"NNNN": f"{int(last) + 1:04}", "LAST": last}
    for path, kind, content in steps():
        file = tree / numbered(path, numbers)
        if kind == "python":
            assert not file.exists(), f"{path} is said to be new"
            file.write_text(numbered(content, numbers))
            continue
        lines = content.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = file.read_text()
        assert text.count(before) == 1, f"the tutorial shows lines of {path} that are not there, or not once:\n{before}"
        file.write_text(text.replace(before, after))


def numbered(text: str, numbers: dict[str, str]) -> str:
    """With the numbers that the reader is asked to put in."""
    return re.sub("|".join(numbers), lambda found: numbers[found[0]], text)


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tollgate-tutorial-") as directory:
        yield made(Path(directory))


def made(copy: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "dist"))
        else:
            shutil.copy(ROOT / name, copy / name)
    if (known := ROOT / ".mypy_cache").is_dir():
        shutil.copytree(known, copy / known.name)  # or the types of everything else would be checked once more
    carry_out(copy)
    return copy


def environment(tree: Path) -> dict[str, str]:
    """Without what this run of the tests says of itself to the processes that it starts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return inherited | {"PYTHONPATH": str(tree / "src")}


def tollgate(tree: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "api", *arguments, "--data-dir", str(tree / "data")]
    return subprocess.Popen(command, cwd=tree, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
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


def test_it_takes_as_few_files_and_lines_as_it_says() -> None:
    new = {path: content for path, kind, content in steps() if kind == "python"}
    diffs = [(path, content) for path, kind, content in steps() if kind == "diff"]
    added = [line for content in new.values() for line in content.splitlines()]
    added += [line for _, content in diffs for line in content.splitlines() if line.startswith("+")]
    assert len(new) <= NEW_FILES_MAX
    assert len({path for path, _ in diffs}) <= CHANGED_FILES_MAX
    assert len(added) <= LINES_MAX


def test_its_product_admits_three_exports_lists_them_and_refuses_the_fourth(tree: Path, service: str) -> None:
    key = DataDirectory(tree / "data").secret("admin_key")
    headers = {"Authorization": f"Bearer {key}", "Tollgate-Customer": "acme"}
    with httpx.Client(base_url=f"{service}/api/v1", headers=headers, timeout=60) as client:
        for customer in ("acme", "globex"):
            assert client.put(f"/customers/{customer}", json={"plan": "example"}).status_code == 201

        answers = [client.post("/exports", json={"title": f"Q{n}"}, headers={"Idempotency-Key": f"q{n}"}) for n in (1, 2, 2, 3, 4)]

        assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 403]
        assert answers[2].headers["Idempotency-Replayed"] == "true"
        assert answers[2].json() == answers[1].json()
        assert answers[4].json()["detail"]["feature"] == "report_exports"
        assert client.get("/customers/acme/usage").json()["features"]["report_exports"]["display"] == "0/3"

        newest = client.get("/exports", params={"limit": 2}).json()
        oldest = client.get("/exports", params={"cursor": newest["next_cursor"]}).json()
        assert [export["title"] for export in newest["items"] + oldest["items"]] == ["Q3", "Q2", "Q1"]
        assert oldest["next_cursor"] is None
        where = answers[3].headers["Location"].removeprefix("/api/v1")
        assert client.get(where).json() == answers[3].json() == newest["items"][0]
        anothers = client.get(where, headers={"Tollgate-Customer": "globex"})
        assert (anothers.status_code, anothers.json()["detail"]["error"]) == (404, "report_export_not_found")
        assert client.get("/exports", headers={"Tollgate-Customer": "globex"}).json() == {"items": [], "next_cursor": None}

    reconcile = tollgate(tree, "reconcile")
    said, _ = reconcile.communicate(timeout=START_SECONDS_MAX)
    assert reconcile.returncode == 0, said


def checks() -> list[str]:
    """What `make check` runs, but for the unit tests."""
    target = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    return [command for command in re.findall(r"@\$\(BIN\)/(.+)", target) if not command.startswith("pytest")]


def run(tree: Path, program: str, *arguments: str) -> None:
    binary = Path(sys.executable).parent / program
    done = subprocess.run([binary, *arguments], cwd=tree, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", checks())
def test_its_code_passes_what_make_check_asks_for(tree: Path, command: str) -> None:
    run(tree, *command.split())


def test_its_unit_test_passes_and_so_do_those_that_all_code_has_to_pass(tree: Path) -> None:
    of_all_code = [str(file.relative_to(tree)) for file in tree.glob("tests/unit/core/test_*.py")]
    assert "tests/unit/core/test_exports.py" in of_all_code
    run(tree, "pytest", "-q", "-p", "no:schemathesis", "tests/unit/test_layout.py", "tests/unit/api", *of_all_code)


def test_its_routes_and_its_table_pass_the_tests_of_access_openapi_and_schema(tree: Path) -> None:
    """Of the tests that are about one route, those about its own; the others go through this repository's own run."""
    files = [f"tests/integration/test_{name}.py" for name in ("access", "openapi", "schema")]
    run(tree, "pytest", "-q", *files, "-k", "exports or not v1")
