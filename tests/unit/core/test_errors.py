"""What a domain error says of itself: one sentence, and facts to act on."""

import pytest

from core.errors import DomainError, NotFoundError, StorageUnavailable
from core.metering.account import CustomerNotFound
from core.sessions.session import SessionNotFound


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotFoundError("x"), "No resource 'x'."),
        (CustomerNotFound("acme"), "No customer 'acme'."),
        (SessionNotFound("42"), "No coaching session '42'."),
    ],
)
def test_what_is_not_found_is_called_by_its_noun_and_its_name(error: NotFoundError, message: str) -> None:
    assert str(error) == error.message == message


def test_an_error_has_no_facts_where_it_names_none() -> None:
    assert DomainError().facts() == {}


def test_a_storage_that_went_away_during_the_commit_says_that_the_outcome_is_unknown() -> None:
    unknown = StorageUnavailable(outcome_unknown=True)
    assert unknown.facts() == {"outcome": "unknown"}
    assert "repeat the request with the same" in str(unknown)


def test_a_storage_that_was_not_there_has_booked_nothing() -> None:
    assert StorageUnavailable().facts() == {}
    assert "Nothing was booked" in str(StorageUnavailable())
