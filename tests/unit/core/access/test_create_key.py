from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.access.create_key import CreateKey, CreateKeyCommand
from core.access.service_keys import InvalidKeyName, Scope
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ID = UUID(int=7)


@pytest.fixture
def keys() -> FakeServiceKeyReader:
    return FakeServiceKeyReader()


@pytest.fixture
def create_key(keys: FakeServiceKeyReader) -> CreateKey:
    return CreateKey(keys.unit_of_work, lambda: NOW, lambda: ID)


async def test_a_created_key_is_stored_and_its_text_opens_it(create_key: CreateKey, keys: FakeServiceKeyReader) -> None:
    created = await create_key.execute(CreateKeyCommand(scope=Scope.WRITE, name="deploy"))

    assert await keys.all() == [created.key]
    assert (created.key.id, created.key.scope, created.key.name, created.key.created_at) == (ID, Scope.WRITE, "deploy", NOW)
    assert created.key.matches(created.text, NOW)


async def test_a_key_may_have_no_name(create_key: CreateKey) -> None:
    assert (await create_key.execute(CreateKeyCommand(scope=Scope.READ))).key.name is None


async def test_a_key_with_a_name_that_cannot_be_shown_is_not_stored(create_key: CreateKey, keys: FakeServiceKeyReader) -> None:
    with pytest.raises(InvalidKeyName):
        await create_key.execute(CreateKeyCommand(scope=Scope.READ, name="bootstrap"))

    assert await keys.all() == []
