"""A signed URL is for one session, one type and one size, and no larger than the plan allows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan
from core.plans.plan import Static
from core.sessions.session import InvalidSessionState, SessionNotFound
from core.sessions.uploads import FileSizeExceeded, UnsupportedMediaType, UploadGrant
from tests.unit.fakes.examples import ACME, NOW, PRO
from tests.unit.fakes.sessions import Coach, SessionStore


@pytest.fixture
def coach() -> Coach:
    return Coach()


async def test_the_grant_names_session_type_size_and_ends_after_15_minutes(coach: Coach) -> None:
    session = await coach.creates()
    coach.now += timedelta(hours=1)
    target = await coach.requests_upload(session, 5_000_000, "video/mp4")
    assert target.grant == UploadGrant(
        customer_id="acme",
        session_id=session.id,
        content_type="video/mp4",
        max_size_bytes=5_000_000,
        max_file_size_mb=Decimal(60),
        expires_at=NOW + timedelta(hours=1, minutes=15),
    )
    assert (target.method, target.headers) == ("PUT", {"Content-Type": "video/mp4"})


async def test_asking_for_a_url_changes_neither_session_nor_usage(coach: Coach) -> None:
    session = await coach.creates()
    await coach.requests_upload(session)
    assert coach.session(session) == session
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


async def test_a_file_of_exactly_the_plans_size_is_allowed_and_a_byte_more_is_not(coach: Coach) -> None:
    session = await coach.creates()
    await coach.requests_upload(session, 60_000_000)
    with pytest.raises(FileSizeExceeded) as refusal:
        await coach.requests_upload(session, 60_000_001)
    assert refusal.value.facts() == {"max_file_size_mb": 60, "size_bytes": 60_000_001, "max_size_bytes": 60_000_000}


async def test_a_plan_that_grants_no_file_size_takes_no_upload(coach: Coach) -> None:
    session = await coach.creates()
    entitlements = {key: entitlement for key, entitlement in PRO.entitlements.items() if not isinstance(entitlement, Static)}
    coach.store.plans["pro", 3] = replace(PRO, entitlements=entitlements)
    with pytest.raises(FeatureNotInPlan) as refusal:
        await coach.requests_upload(session)
    assert refusal.value.feature == "max_file_size_mb"


async def test_what_is_neither_audio_nor_video_is_refused(coach: Coach) -> None:
    session = await coach.creates()
    with pytest.raises(UnsupportedMediaType):
        await coach.requests_upload(session, content_type="application/pdf")


async def test_a_further_url_can_be_asked_for_until_the_upload_is_confirmed(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    await coach.requests_upload(session)
    await coach.confirms(session)
    with pytest.raises(InvalidSessionState) as refusal:
        await coach.requests_upload(session)
    assert refusal.value.facts()["status"] == "pending"


async def test_a_url_is_only_for_the_customers_own_session() -> None:
    store = SessionStore([PRO], [ACME, replace(ACME, id="globex")])
    acme, globex = Coach(store), Coach(store, replace(ACME, id="globex"))
    session = await acme.creates()
    for unknown in (session, replace(session, id=UUID(int=404))):
        with pytest.raises(SessionNotFound):
            await globex.requests_upload(unknown)
    with pytest.raises(CustomerNotFound):
        await Coach(store, replace(ACME, id="nobody")).requests_upload(session)
