import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pytest_mock import MockerFixture

from core.access.authenticate import Authenticator
from core.access.ports import UserTokens
from core.access.principal import Principal, Unauthenticated
from core.access.service_keys import Scope, digest, generate
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class FakeUserTokens(UserTokens):
    async def verify(self, token: str) -> str:
        if token != "alice's token":
            raise Unauthenticated("The token is not valid.")
        return "alice"


USED: list[tuple[UUID, datetime]] = []


def authenticator(keys: FakeServiceKeyReader | None = None, *bootstrap_keys: str | None) -> Authenticator:
    USED.clear()
    return Authenticator(
        keys or FakeServiceKeyReader(), FakeUserTokens(), lambda: NOW, lambda key, at: USED.append((key, at)), *bootstrap_keys
    )


@pytest.mark.parametrize("scope", Scope)
async def test_a_service_key_speaks_for_a_service_with_its_scope(scope: Scope) -> None:
    key, text = generate(uuid4(), scope, NOW, "deploy")

    assert await authenticator(FakeServiceKeyReader([key])).authenticate(text) == Principal.service("deploy", scope, key.id)


async def test_a_key_without_a_name_goes_by_its_id() -> None:
    key, text = generate(uuid4(), Scope.READ, NOW)

    assert (await authenticator(FakeServiceKeyReader([key])).authenticate(text)).name == f"key:{key.id}"


async def test_a_revocation_counts_at_once() -> None:
    key, text = generate(uuid4(), Scope.ADMIN, NOW)
    keys = FakeServiceKeyReader([key])
    service = authenticator(keys)
    await service.authenticate(text)

    keys.revoke(key.id, NOW)

    with pytest.raises(Unauthenticated):
        await service.authenticate(text)


async def test_unknown_wrong_revoked_and_malformed_keys_are_refused_in_the_same_words() -> None:
    known, text = generate(uuid4(), Scope.ADMIN, NOW)
    revoked, revoked_text = generate(uuid4(), Scope.ADMIN, NOW)
    _, unknown_text = generate(uuid4(), Scope.ADMIN, NOW)
    _, wrong_text = generate(known.id, Scope.ADMIN, NOW)
    keys = FakeServiceKeyReader([known, revoked])
    keys.revoke(revoked.id, NOW)
    messages = set()

    for credential in (revoked_text, unknown_text, wrong_text, text[:-1], "tg_", "tg_alice's token"):
        with pytest.raises(Unauthenticated) as refusal:
            await authenticator(keys).authenticate(credential)
        messages.add(refusal.value.message)

    assert len(messages) == 1


async def test_a_user_token_speaks_for_its_customer() -> None:
    assert await authenticator().authenticate("alice's token") == Principal.user("alice")


async def test_what_is_no_key_and_no_token_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        await authenticator(None, "open sesame").authenticate("close sesame")


@pytest.mark.parametrize("bootstrap_key", ["open sesame", "tg_admin"])
async def test_the_bootstrap_key_has_the_scope_admin(bootstrap_key: str) -> None:
    assert await authenticator(None, bootstrap_key).authenticate(bootstrap_key) == Principal.service("bootstrap", Scope.ADMIN)


@pytest.mark.parametrize("bootstrap_key", [None, ""])
async def test_without_a_bootstrap_key_no_credential_is_one(bootstrap_key: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator(None, bootstrap_key).authenticate("")


@pytest.mark.parametrize("credential", ["open", "open sesame ", "OPEN SESAME", "open sesame\0", "öpen sesame", "\ud800"])
async def test_what_resembles_the_bootstrap_key_is_refused(credential: str) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator(None, "open sesame").authenticate(credential)


async def test_the_bootstrap_key_is_compared_in_constant_time(mocker: MockerFixture) -> None:
    service = authenticator(None, "open sesame")
    compare = mocker.spy(hmac, "compare_digest")

    await service.authenticate("open sesame")

    compare.assert_called_once_with(digest("open sesame"), digest("open sesame"))


async def test_the_use_of_a_key_is_noted_and_of_nothing_else() -> None:
    key, text = generate(uuid4(), Scope.READ, NOW)
    service = authenticator(FakeServiceKeyReader([key]), "tg_bootstrap")
    await service.authenticate(text)
    await service.authenticate("tg_bootstrap")
    with pytest.raises(Unauthenticated):
        await service.authenticate(text[:-1])
    assert [(key.id, NOW)] == USED


async def test_an_expired_key_is_refused_as_a_revoked_one_is() -> None:
    key, text = generate(uuid4(), Scope.READ, NOW - timedelta(days=2), expires_at=NOW)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await authenticator(FakeServiceKeyReader([key])).authenticate(text)


async def test_two_bootstrap_keys_work_beside_each_other() -> None:
    service = authenticator(None, "tg_new", None, "tg_old")
    for text in ("tg_new", "tg_old"):
        assert (await service.authenticate(text)).name == "key:bootstrap"
    with pytest.raises(Unauthenticated):
        await service.authenticate("tg_other")
