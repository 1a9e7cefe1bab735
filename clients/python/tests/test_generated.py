"""The synchronous client is the asynchronous one, written again."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ruff", reason="it formats what is generated")

GENERATE = Path(__file__).parents[1] / "generate.py"


def test_the_synchronous_client_is_in_step() -> None:
    done = subprocess.run((sys.executable, str(GENERATE), "--check"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
