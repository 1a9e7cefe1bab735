"""What all tests share: the event loop that async tests run on, and how hard property tests try."""

import os

import pytest
from hypothesis import settings

settings.register_profile("local", max_examples=50, deadline=None)
settings.register_profile("quick", settings.get_profile("local"), max_examples=20)  # make check and make unit; make test tries harder
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("local"), max_examples=2_000)  # pytest --hypothesis-profile=thorough
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
