from uuid import UUID

import pytest

from core.access.principal import Forbidden, Principal, Unauthenticated
from core.access.service_keys import Scope
from core.metering.account import CustomerNotFound

ALICE = Principal.user("alice")


def test_the_ledger_records_who_it_was() -> None:
    assert ALICE.name == "user:alice"
    assert Principal.service("deploy", Scope.WRITE).name == "key:deploy"


def test_two_keys_of_one_name_are_recorded_alike_and_told_apart() -> None:
    one, other = (Principal.service("deploy", Scope.WRITE, UUID(int=n)) for n in (1, 2))
    assert (one.name, one.identity) == (other.name, f"key:{UUID(int=1)}")
    assert one.identity != other.identity
    assert Principal.user("ada").identity == "user:ada"


@pytest.mark.parametrize("held", Scope)
@pytest.mark.parametrize("required", Scope)
@pytest.mark.parametrize("customer_id", [None, "alice"])
def test_a_service_may_do_what_its_scope_covers_for_every_customer(held: Scope, required: Scope, customer_id: str | None) -> None:
    service = Principal.service("deploy", held)

    if held.covers(required):
        service.require(required, customer_id)
    else:
        with pytest.raises(Forbidden) as refusal:
            service.require(required, customer_id)
        assert refusal.value.facts() == {"required_scope": required.value}
        assert f"'{required.value}'" in refusal.value.message


def test_a_user_may_read_its_own() -> None:
    ALICE.require(Scope.READ, "alice")


@pytest.mark.parametrize("scope", [Scope.WRITE, Scope.ADMIN])
def test_a_user_may_do_no_more_than_read(scope: Scope) -> None:
    with pytest.raises(Forbidden):
        ALICE.require(scope, "alice")


@pytest.mark.parametrize("scope", Scope)
def test_another_customer_does_not_exist_for_a_user(scope: Scope) -> None:
    with pytest.raises(CustomerNotFound) as refusal:
        ALICE.require(scope, "bob")

    assert refusal.value.identity == "bob"


@pytest.mark.parametrize("scope", Scope)
def test_what_concerns_no_customer_is_not_for_users(scope: Scope) -> None:
    with pytest.raises(Forbidden):
        ALICE.require(scope)


@pytest.mark.parametrize("scope", Scope)
def test_a_principal_that_is_neither_user_nor_service_may_do_nothing(scope: Scope) -> None:
    with pytest.raises(Forbidden):
        Principal("nobody").require(scope, "alice")


def test_without_credentials_one_is_told_what_to_bring() -> None:
    assert str(Unauthenticated()) == "Authenticate with a user token or a service key."
