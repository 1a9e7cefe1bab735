import base64
import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access.principal import Unauthenticated
from core.sessions.uploads import InvalidUploadUrl, UploadGrant, UploadUrlExpired
from infrastructure.storage.signed_urls import SignedUploadUrls
from infrastructure.user_tokens import JwtUserTokens

NOW = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)
SECRET = "correct horse battery staple, at length"
GRANT = UploadGrant(
    "acme", UUID("019aa5d8-7c00-7000-8000-000000000001"), "audio/mp4", 55_000_000, Decimal("60"), NOW + timedelta(minutes=15)
)
BASE64URL = string.ascii_letters + string.digits + "-_"

grants = st.builds(
    UploadGrant,
    customer_id=st.text(min_size=1, max_size=20),
    session_id=st.uuids(),
    content_type=st.text(string.printable, min_size=1, max_size=20),
    max_size_bytes=st.integers(1, 10**13),
    max_file_size_mb=st.decimals(0, 10**7, places=3),
    expires_at=st.timedeltas(timedelta(0), timedelta(days=30_000)).map(NOW.__add__),
)


@pytest.fixture
def urls() -> SignedUploadUrls:
    return signed_with(SECRET)


def signed_with(secret: str) -> SignedUploadUrls:
    return SignedUploadUrls(secret.encode(), "https://tollgate.example/")


def token_of(urls: SignedUploadUrls, grant: UploadGrant = GRANT) -> str:
    return urls.target(grant).url.rpartition("/")[2]


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def require_refused(urls: SignedUploadUrls, token: str) -> None:
    with pytest.raises(InvalidUploadUrl):
        urls.grant(token, GRANT.content_type, NOW)


def test_the_target_says_how_to_send_the_content(urls: SignedUploadUrls) -> None:
    target = urls.target(GRANT)

    assert target.url == f"https://tollgate.example/api/v1/uploads/{token_of(urls)}"
    assert target.method == "PUT"
    assert target.headers == {"Content-Type": "audio/mp4"}
    assert target.grant == GRANT


@given(grants)
def test_a_grant_comes_back_from_its_url_as_it_was(grant: UploadGrant) -> None:
    urls = signed_with(SECRET)

    assert urls.grant(token_of(urls, grant), grant.content_type, grant.expires_at - timedelta(microseconds=1)) == grant


def test_the_longest_customer_id_still_makes_a_url_that_servers_and_proxies_take(urls: SignedUploadUrls) -> None:
    assert len(urls.target(replace(GRANT, customer_id="🎙" * 255)).url) < 8_000


def test_every_change_of_a_single_character_is_refused(urls: SignedUploadUrls) -> None:
    token = token_of(urls)
    urls.grant(token, GRANT.content_type, NOW)

    for place, character in enumerate(token):
        # The last character has bits that are no part of the signature: all of its values are tried.
        for other in (BASE64URL if place == len(token) - 1 else BASE64URL[::8]) + ".=":
            if other != character:
                require_refused(urls, token[:place] + other + token[place + 1 :])
        require_refused(urls, token[:place] + token[place + 1 :])
        require_refused(urls, token[:place] + "A" + token[place:])


@pytest.mark.parametrize("added", ["=", "==", "A", ".", " ", "\n", "\0", "/", "%3D", "é", "\ud800"])
def test_nothing_may_be_added(urls: SignedUploadUrls, added: str) -> None:
    require_refused(urls, token_of(urls) + added)
    require_refused(urls, added + token_of(urls))


@given(st.one_of(st.text(max_size=60), st.text(BASE64URL + ".", max_size=200)))
def test_what_is_no_token_is_refused(text: str) -> None:
    require_refused(signed_with(SECRET), text)


@pytest.mark.parametrize(
    "claim",
    [
        {"sub": "somebody else"},
        {"session": "0" * 32},
        {"type": "video/mp4"},
        {"bytes": 10**12},
        {"megabytes": "1000000"},
        {"until": "2099-01-01T00:00:00+00:00"},
    ],
)
def test_a_claim_cannot_be_exchanged_under_the_old_signature(urls: SignedUploadUrls, claim: dict[str, Any]) -> None:
    token = token_of(urls)
    header, _, signature = token.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims_of(token) | claim).encode()).rstrip(b"=").decode()

    require_refused(urls, f"{header}.{payload}.{signature}")


def test_an_unsigned_token_is_refused(urls: SignedUploadUrls) -> None:
    require_refused(urls, jwt.encode(claims_of(token_of(urls)), "", "none"))


def test_a_token_signed_with_another_secret_is_refused(urls: SignedUploadUrls) -> None:
    require_refused(urls, token_of(signed_with(SECRET + "!")))


def test_the_secret_itself_signs_no_upload_token(urls: SignedUploadUrls) -> None:
    require_refused(urls, jwt.encode(claims_of(token_of(urls)), SECRET, "HS256"))


def test_a_user_token_is_no_upload_token(urls: SignedUploadUrls) -> None:
    require_refused(urls, JwtUserTokens(lambda: NOW, secret=SECRET).sign("acme", 3600))


async def test_an_upload_token_is_no_user_token(urls: SignedUploadUrls) -> None:
    with pytest.raises(Unauthenticated):
        await JwtUserTokens(lambda: NOW, secret=SECRET).verify(token_of(urls))


def test_an_empty_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="empty"):
        signed_with("")


def test_a_url_is_good_until_just_before_it_expires(urls: SignedUploadUrls) -> None:
    token = token_of(urls)

    assert urls.grant(token, GRANT.content_type, GRANT.expires_at - timedelta(microseconds=1)) == GRANT
    with pytest.raises(UploadUrlExpired):
        urls.grant(token, GRANT.content_type, GRANT.expires_at)


def test_expiry_goes_by_the_time_that_is_passed_in_and_not_by_the_wall_clock(urls: SignedUploadUrls) -> None:
    long_ago = replace(GRANT, expires_at=datetime(1990, 1, 1, tzinfo=UTC))

    assert urls.grant(token_of(urls, long_ago), GRANT.content_type, datetime(1989, 12, 31, tzinfo=UTC)) == long_ago


def test_an_expired_url_says_so_whatever_it_is_used_for_but_a_forged_one_does_not(urls: SignedUploadUrls) -> None:
    late = GRANT.expires_at + timedelta(days=1)

    with pytest.raises(UploadUrlExpired):
        urls.grant(token_of(urls), None, late)
    with pytest.raises(InvalidUploadUrl):
        urls.grant(token_of(signed_with("another secret")), GRANT.content_type, late)


def test_an_expiry_in_another_time_zone_is_the_same_instant(urls: SignedUploadUrls) -> None:
    elsewhere = replace(GRANT, expires_at=GRANT.expires_at.astimezone(timezone(timedelta(hours=5, minutes=45))))

    assert urls.grant(token_of(urls, elsewhere), GRANT.content_type, NOW) == GRANT


@pytest.mark.parametrize("sent", ["audio/webm; codecs=opus", "Audio/WebM; codecs=OPUS"])
def test_the_content_type_may_differ_in_case_only(urls: SignedUploadUrls, sent: str) -> None:
    grant = replace(GRANT, content_type="audio/webm; codecs=opus")

    assert urls.grant(token_of(urls, grant), sent, NOW) == grant


@pytest.mark.parametrize("sent", [None, "", "audio/webm", "audio/webm; codecs=vorbis", "video/webm; codecs=opus", "text/html"])
def test_another_content_type_than_the_signed_one_is_refused(urls: SignedUploadUrls, sent: str | None) -> None:
    token = token_of(urls, replace(GRANT, content_type="audio/webm; codecs=opus"))

    with pytest.raises(InvalidUploadUrl):
        urls.grant(token, sent, NOW)
