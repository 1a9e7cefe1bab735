"""What the documentation points to is there: a page that names a file which has moved misleads whoever reads it first."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    # The tutorial names files that it makes; a test of its own carries it out.
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "add-your-own-limited-resource.md"),
]
OVERVIEW = ROOT / "docs" / "architecture" / "overview.md"
CREATE_SESSION = ROOT / "src" / "core" / "sessions" / "create_session.py"

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:src|tests|docs|benchmarks|api|core|infrastructure)/[\w./-]+")
QUESTIONS = (
    "what happens on a lost race",
    "who may read a customer's data",
    "the lock order",
    "how a held quantity is counted",
    "what a late commit does",
    "where a refused request's message is made",
)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    plain = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower() for heading in HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def where(file: str) -> Path:
    """Paths of code are written from `src` on."""
    return ROOT / file if (ROOT / file).exists() else ROOT / "src" / file


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {file for code in CODE.findall(page.read_text()) for file in FILE.findall(code) if FILE.fullmatch(code)}
    assert not [file for file in named if not where(file).exists()]


def index() -> list[list[str]]:
    """The rows of the table that says where to find what."""
    table = OVERVIEW.read_text().split("## Where to find what")[1].split("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("question", QUESTIONS)
def test_whoever_has_never_seen_the_code_finds_the_answer_with_one_search(question: str) -> None:
    assert question in [asked for asked, _, _ in index()]


def test_every_name_in_the_index_is_in_the_file_that_stands_before_it() -> None:
    for _, _, code in index():
        text = ""
        for name in CODE.findall(code):
            if "/" in name:
                text = where(name).read_text()
                continue
            for part in name.split("."):
                assert re.search(rf"\b{part}\b", text), f"{name} is not in the file that {OVERVIEW.name} names before it"


def test_the_readme_shows_eight_lines_of_the_domain_as_they_stand() -> None:
    (block,) = re.findall(r"```python\n(class .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = [line for line in block.splitlines() if line]
    assert len(shown) == 8
    source = CREATE_SESSION.read_text()
    for line in shown:
        beginning, elided, _ = line.partition("…")
        assert beginning + ("" if elided else "\n") in source
