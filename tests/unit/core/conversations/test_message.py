"""What is told of a number that is none, and of a message that is too old or too far ahead."""

from datetime import timedelta

import pytest

from core.conversations.message import InvalidPhoneNumber, InvalidSentAt, require_recent
from tests.unit.fakes.examples import NOW

MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(("number", "region"), [("Maria", "US"), ("+1", None), ("+1", "US")])
def test_where_no_region_is_lacking_none_is_asked_for(number: str, region: str | None) -> None:
    refusal = InvalidPhoneNumber(number, region)
    assert "phone_region" not in str(refusal)
    assert refusal.facts() == {"counterparty": number, "phone_region": region}


def test_a_number_without_country_code_is_told_that_it_needs_the_customers_region() -> None:
    assert "one without a country code needs the customer's phone_region" in str(InvalidPhoneNumber("415 555 2671", None))


def test_of_a_long_text_that_is_no_number_the_beginning_is_told() -> None:
    assert InvalidPhoneNumber("1" * 60_000, None).facts()["counterparty"] == "1" * 255


@pytest.mark.parametrize("apart", [timedelta(days=-35), timedelta(hours=-25), timedelta(0), timedelta(minutes=5)])
def test_a_message_may_be_35_days_old_and_five_minutes_ahead(apart: timedelta) -> None:
    require_recent(NOW + apart, NOW)


@pytest.mark.parametrize("apart", [timedelta(days=-35) - MICROSECOND, timedelta(minutes=5) + MICROSECOND])
def test_a_message_beyond_that_is_refused_with_the_bounds(apart: timedelta) -> None:
    with pytest.raises(InvalidSentAt) as refusal:
        require_recent(NOW + apart, NOW)
    bounds = {"earliest": NOW - timedelta(days=35), "latest": NOW + timedelta(minutes=5)}
    assert refusal.value.facts() == {"sent_at": NOW + apart, **bounds}
