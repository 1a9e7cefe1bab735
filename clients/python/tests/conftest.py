"""What the client's tests share: a service in memory."""

import pytest
from tests_support.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
