"""Writes the synchronous client from the asynchronous one: `python generate.py`; with --check, only says whether they agree."""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "tollgate_client"
BY_HAND = {"primitives.py"}
REPLACED = [
    (
        r"The asynchronous client\. Its synchronous twin.*",
        'The synchronous client, generated from the asynchronous one: `python generate.py`."""',
    ),
    (r"\bAwaitable\[((?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*)\]", r"\1"),
    (r"from collections\.abc import Awaitable, Callable", "from collections.abc import Callable"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncTollgate\b", "Tollgate"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync(Client|BaseTransport)\b", r"\1"),
    (r"\baclose\b", "close"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\b_async\b", "_sync"),
]


def generated(source: str) -> str:
    """The synchronous form of a module, as it is formatted."""
    for pattern, replacement in REPLACED:
        source = re.sub(pattern, replacement, source)
    for step in (("check", "--fix-only", "--quiet"), ("format", "--quiet")):
        ruff = (sys.executable, "-m", "ruff", *step, "--stdin-filename", str(PACKAGE / "_sync" / "module.py"), "-")
        source = subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout
    return source


def main() -> int:
    """Exit status 1 where a file of `_sync` is not what it would be written as."""
    behind = []
    for file in sorted((PACKAGE / "_async").glob("*.py")):
        twin = PACKAGE / "_sync" / file.name
        if file.name in BY_HAND:
            continue
        text = generated(file.read_text())
        if "--check" in sys.argv:
            if not twin.exists() or twin.read_text() != text:
                behind.append(twin.name)
        else:
            twin.write_text(text)
    if behind:
        print(f"_sync is behind _async: {', '.join(behind)}; run generate.py")
    return bool(behind)


if __name__ == "__main__":
    sys.exit(main())
