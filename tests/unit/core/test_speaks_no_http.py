"""A route that is renamed must not leave its old name in the domain: what callers read of routes is written in `api/errors.py`."""

import ast
import re
from pathlib import Path

import pytest

import core

CORE = Path(core.__path__[0])
OF_HTTP = re.compile(
    r"\b(GET|POST|PUT|PATCH|DELETE|HTTP|JSON|Bearer|Authorization|[Ee]ndpoints?|[Rr]outes?|[Hh]eaders?|status codes?|query strings?)\b"
    r"|/api\b|…/|Idempotency-Key|Tollgate-Customer|Retry-After"
)


def texts(source: str) -> list[str]:
    """Every string constant, those within f-strings and docstrings included."""
    return [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda file: str(file.relative_to(CORE)))
def test_no_text_of_the_domain_names_a_path_a_verb_a_header_or_a_status(file: Path) -> None:
    assert [text for text in texts(file.read_text()) if OF_HTTP.search(text)] == []


@pytest.mark.parametrize(
    "source",
    [
        'message = f"declare it by PUT {path}"',
        'message = f"ask …/usage/check about {feature!r}"',
        'def f():\n    """Sent as an HTTP header."""',
        'message = "the same Idempotency-Key"',
    ],
)
def test_such_a_text_would_be_found(source: str) -> None:
    assert any(OF_HTTP.search(text) for text in texts(source))
