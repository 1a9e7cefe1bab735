"""The engine names no product's feature and no product's option, as it imports no product (an import contract proves that).

What it prevents: a list of features within the engine that have something special, which every new product would have to change.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import core
from core.products import BUILT_IN, BUILT_IN_STATIC, OPTIONS

(CORE,) = map(Path, core.__path__)
ENGINE = ["access", "customers", "metering", "plans", "reconciliation"]
SOURCES = [path for package in ENGINE for path in sorted((CORE / package).glob("*.py"))]

FEATURES = {*(feature.key for feature in BUILT_IN), *BUILT_IN_STATIC}
OPTION_WORDS = {option.name for option in OPTIONS} | {part.name for option in OPTIONS for part in option.parts}
NAMED = re.compile(rf"\b({'|'.join(sorted(FEATURES | OPTION_WORDS))})\b")


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts that the code works with; a docstring may give examples."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def names(tree: ast.AST) -> Iterator[str]:
    """Names of attributes, arguments and variables. A feature's key may be one, as in `timedelta(minutes=5)`; an option's may not."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_source_of_the_engine_names_a_products_feature_or_option(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert [text for text in texts(tree) if NAMED.search(text)] == []
    assert [name for name in names(tree) if name in OPTION_WORDS] == []


def test_the_products_themselves_would_be_found() -> None:
    tree = ast.parse('WINDOWED = ("conversations",)\nwindow = f"only sessions: {x.messages_max}"')
    assert len([text for text in texts(tree) if NAMED.search(text)]) == 2
    assert [name for name in names(tree) if name in OPTION_WORDS] == ["window", "messages_max"]
    assert {"plans/drafts.py", "metering/account.py"} <= {f"{path.parent.name}/{path.name}" for path in SOURCES}
