"""What the import contracts in `pyproject.toml` cannot say: which top packages there are, and what core may import from outside."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
CORE_MAY_IMPORT = sys.stdlib_module_names | {"core"}


def imported(source: str) -> set[str]:
    """The top packages that a module imports, at its head or anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_core_imports_the_standard_library_and_itself_only() -> None:
    files = list((SRC / "core").rglob("*.py"))
    assert files
    from_outside = {str(file.relative_to(SRC)): imported(file.read_text()) - CORE_MAY_IMPORT for file in files}
    assert {file: names for file, names in from_outside.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import a_library",
        "import json, a_library.inner as inner",
        "from a_library.inner import something",
        "def late():\n    from a_library import something",
        "if TYPE_CHECKING:\n    import a_library",
        "try:\n    import a_library\nexcept ImportError:\n    a_library = None",
    ],
)
def test_a_library_is_noticed_wherever_it_is_imported(source: str) -> None:
    assert imported(source) - CORE_MAY_IMPORT == {"a_library"}


@pytest.mark.parametrize("package", ["api", "infrastructure"])
def test_core_may_not_import_what_lies_around_it(package: str) -> None:
    assert package not in CORE_MAY_IMPORT


def test_each_top_package_is_in_the_import_contracts_the_type_check_and_the_distribution() -> None:
    packages = {path.stem for path in SRC.iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))}
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert set(tool["importlinter"]["root_packages"]) == packages
    assert set(tool["mypy"]["packages"]) == packages
    assert set(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == {f"src/{package}" for package in packages}
