import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import pytest
from hypothesis import given, strategies
from pytest_mock import MockerFixture

from core.access.service_keys import InvalidExpiry, InvalidKeyName, Scope, generate, key_id_of

ID = UUID("019ab000-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECRET = "A" * 43


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.WRITE, {Scope.READ, Scope.WRITE}),
        (Scope.ADMIN, {Scope.READ, Scope.WRITE, Scope.ADMIN}),
    ],
)
def test_a_scope_covers_itself_and_the_smaller_ones(scope: Scope, covered: set[Scope]) -> None:
    assert {other for other in Scope if scope.covers(other)} == covered


def test_a_generated_key_matches_its_text_and_keeps_only_a_hash_of_it() -> None:
    key, text = generate(ID, Scope.WRITE, NOW, "deploy")

    assert (key.id, key.name, key.scope, key.created_at, key.revoked_at) == (ID, "deploy", Scope.WRITE, NOW, None)
    assert key.secret_hash == sha256(text.encode()).digest()
    assert text.removeprefix(f"tg_{ID.hex}_") not in repr(key)
    assert key.matches(text, NOW)


def test_the_text_of_a_key_starts_with_tg_and_carries_the_id() -> None:
    _, text = generate(ID, Scope.READ, NOW)

    assert text.startswith(f"tg_{ID.hex}_")
    assert len(text) == len("tg_") + 32 + len("_") + 43
    assert key_id_of(text) == ID


def test_no_two_keys_have_the_same_secret() -> None:
    assert len({generate(ID, Scope.READ, NOW)[1] for _ in range(100)}) == 100


def test_another_text_does_not_match() -> None:
    key, text = generate(ID, Scope.WRITE, NOW)
    last = "A" if text[-1] != "A" else "B"

    assert not key.matches(text[:-1] + last, NOW)
    assert not key.matches(text + "A", NOW)
    assert not key.matches(text.upper(), NOW)
    assert not key.matches("", NOW)
    assert not key.matches(generate(ID, Scope.WRITE, NOW)[1], NOW)


def test_a_secret_holds_for_its_own_id_only() -> None:
    key, text = generate(ID, Scope.WRITE, NOW)
    other, _ = generate(uuid4(), Scope.ADMIN, NOW)

    assert not other.matches(text.replace(key.id.hex, other.id.hex), NOW)


def test_a_revoked_key_does_not_match() -> None:
    key, text = generate(ID, Scope.WRITE, NOW)

    assert not replace(key, revoked_at=NOW).matches(text, NOW)


def test_a_key_that_was_revoked_before_keeps_its_time() -> None:
    revoked = generate(ID, Scope.WRITE, NOW)[0].revoked(NOW)

    assert revoked.revoked_at == NOW
    assert revoked.revoked(NOW + timedelta(days=1)) == revoked


def test_keys_are_compared_in_constant_time(mocker: MockerFixture) -> None:
    key, text = generate(ID, Scope.WRITE, NOW)
    compare = mocker.spy(hmac, "compare_digest")

    key.matches(text, NOW)

    compare.assert_called_once_with(key.secret_hash, sha256(text.encode()).digest())


@pytest.mark.parametrize("name", ["", "a" * 101, "line\nbreak", "nul\0", "bootstrap"])
def test_a_name_that_cannot_be_shown_or_told_apart_is_refused(name: str) -> None:
    with pytest.raises(InvalidKeyName) as refusal:
        generate(ID, Scope.READ, NOW, name)

    assert refusal.value.facts() == {"name": name}
    assert "1–100" in refusal.value.message


@pytest.mark.parametrize("name", [None, "a", "a" * 100, "Déploiement nº 2"])
def test_any_other_name_is_fine(name: str | None) -> None:
    assert generate(ID, Scope.READ, NOW, name)[0].name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tg_",
        f"{ID.hex}_{SECRET}",
        f"TG_{ID.hex}_{SECRET}",
        f"tg_{ID}_{SECRET}",
        f"tg_{ID.hex.upper()}_{SECRET}",
        f"tg_{ID.hex[1:]}_{SECRET}",
        f"tg_{'g' * 32}_{SECRET}",
        f"tg_{'٣' * 32}_{SECRET}",
        f"tg_{ID.hex}_{SECRET[1:]}",
        f"tg_{ID.hex}_{SECRET}A",
        f"tg_{ID.hex}_{SECRET[1:]}.",
        f"tg_{ID.hex}_{SECRET}\n",
        f" tg_{ID.hex}_{SECRET}",
    ],
)
def test_a_malformed_key_has_no_id(text: str) -> None:
    assert key_id_of(text) is None


@given(strategies.text(strategies.characters(codec=None)))
def test_no_text_whatever_brings_the_parser_or_the_comparison_down(text: str) -> None:
    key, _ = generate(ID, Scope.READ, NOW)

    assert key_id_of(f"tg_{text}") is None
    assert not key.matches(text, NOW)


def test_a_key_ends_when_it_is_to_end() -> None:
    ends = NOW + timedelta(hours=1)
    key, text = generate(ID, Scope.READ, NOW, expires_at=ends)
    assert key.matches(text, ends - timedelta(microseconds=1))
    assert not key.matches(text, ends)


def test_a_key_does_not_end_before_it_begins() -> None:
    with pytest.raises(InvalidExpiry, match="in the future"):
        generate(ID, Scope.READ, NOW, expires_at=NOW)


def test_an_end_that_is_set_is_never_put_off() -> None:
    key, _ = generate(ID, Scope.READ, NOW)
    soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    assert key.expiring(later).expires_at == later
    assert key.expiring(soon).expiring(later).expires_at == soon
