"""A fresh store for each test, and two customers on the same plan."""

import pytest

from tests.unit.fakes.operations import BOB, FakeOperationStore, Scanner


@pytest.fixture
def ada() -> Scanner:
    return Scanner(FakeOperationStore())


@pytest.fixture
def bob(ada: Scanner) -> Scanner:
    return Scanner(ada.store, BOB)
