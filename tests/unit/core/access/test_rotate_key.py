from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.access.rotate_key import RotateKey, RotateKeyCommand
from core.access.service_keys import Scope, ServiceKey, ServiceKeyNotFound, generate
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 26, tzinfo=UTC)
NEW = UUID(int=7)


async def rotated(key: ServiceKey, grace: timedelta = timedelta(hours=1)) -> tuple[FakeServiceKeyReader, ServiceKey, str]:
    reader = FakeServiceKeyReader([key])
    created = await RotateKey(reader.unit_of_work, lambda: NOW, lambda: NEW).execute(RotateKeyCommand(id=key.id, grace=grace))
    return reader, created.key, created.text


async def test_the_new_key_may_what_the_old_one_may_and_the_old_one_ends_after_the_grace() -> None:
    key, text = generate(uuid4(), Scope.WRITE, NOW - timedelta(days=9), "deploy")
    reader, new, new_text = await rotated(key)
    assert (new.id, new.scope, new.name, new.created_at, new.expires_at) == (NEW, Scope.WRITE, "deploy", NOW, None)
    assert reader.keys[NEW].matches(new_text, NOW + timedelta(days=999))
    assert reader.keys[key.id].matches(text, NOW + timedelta(minutes=59))
    assert not reader.keys[key.id].matches(text, NOW + timedelta(hours=1))


async def test_a_key_that_ends_sooner_by_itself_still_does() -> None:
    ends = NOW + timedelta(minutes=5)
    key, _ = generate(uuid4(), Scope.READ, NOW - timedelta(days=9), expires_at=ends)
    reader, _, _ = await rotated(key)
    assert reader.keys[key.id].expires_at == ends


@pytest.mark.parametrize("ended", [{"revoked_at": NOW}, {"expires_at": NOW}])
async def test_a_key_that_has_ended_has_no_successor(ended: dict[str, datetime]) -> None:
    key, _ = generate(uuid4(), Scope.READ, NOW - timedelta(days=9))
    with pytest.raises(ServiceKeyNotFound):
        await rotated(replace(key, **ended))


async def test_a_key_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ServiceKeyNotFound):
        await RotateKey(FakeServiceKeyReader().unit_of_work, lambda: NOW, lambda: NEW).execute(RotateKeyCommand(id=uuid4()))
