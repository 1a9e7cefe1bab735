from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core.access.revoke_key import RevokeKey
from core.access.service_keys import Scope, ServiceKeyNotFound, generate
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KEY, TEXT = generate(UUID(int=7), Scope.ADMIN, NOW)
OTHER, _ = generate(UUID(int=8), Scope.ADMIN, NOW)


@pytest.fixture
def keys() -> FakeServiceKeyReader:
    return FakeServiceKeyReader([KEY, OTHER])


async def test_a_revoked_key_holds_no_more_and_the_others_do(keys: FakeServiceKeyReader) -> None:
    revoked = await RevokeKey(keys.unit_of_work, lambda: NOW).execute(KEY.id)

    assert not revoked.matches(TEXT, NOW)
    assert await keys.all() == [revoked, OTHER]


async def test_revoking_again_keeps_the_time_of_the_first(keys: FakeServiceKeyReader) -> None:
    first = await RevokeKey(keys.unit_of_work, lambda: NOW).execute(KEY.id)
    second = await RevokeKey(keys.unit_of_work, lambda: NOW + timedelta(days=1)).execute(KEY.id)

    assert (first.revoked_at, second.revoked_at) == (NOW, NOW)
    assert await keys.find([KEY.id]) == {KEY.id: first}


async def test_a_key_that_does_not_exist_cannot_be_revoked(keys: FakeServiceKeyReader) -> None:
    with pytest.raises(ServiceKeyNotFound) as refusal:
        await RevokeKey(keys.unit_of_work, lambda: NOW).execute(UUID(int=9))

    assert refusal.value.identity == str(UUID(int=9))
