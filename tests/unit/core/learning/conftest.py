"""A learner on a plan of three practice sessions and two assessments, and another one beside her."""

import pytest

from tests.unit.fakes.learning import TOM, FakeLearningStore, Learner


@pytest.fixture
def store() -> FakeLearningStore:
    return FakeLearningStore()


@pytest.fixture
def lena(store: FakeLearningStore) -> Learner:
    return Learner(store)


@pytest.fixture
def tom(store: FakeLearningStore) -> Learner:
    return Learner(store, TOM)
