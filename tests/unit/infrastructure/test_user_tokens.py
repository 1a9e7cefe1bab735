import asyncio
import base64
import gzip
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pytest_mock import MockerFixture

from core.access.ports import IdentityProviderUnavailable
from core.access.principal import Unauthenticated
from infrastructure.user_tokens import (
    CLOCK_SKEW_SECONDS_MAX,
    KEY_SET_SIZE_BYTES_MAX,
    KEYS_FRESH_FOR,
    KEYS_USABLE_FOR,
    REFETCH_AFTER,
    TOKEN_LENGTH_MAX,
    JwtUserTokens,
    PublishedKeys,
)

SECRET = "a secret that is as long as it should be"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW = int(START.timestamp())
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def claims(**changes: object) -> dict[str, Any]:
    """A good token's claims; None leaves one out."""
    return {name: value for name, value in {"sub": "alice", "exp": NOW + 60, **changes}.items() if value is not None}


def segment(value: object) -> str:
    """Anything at all as a part of a token."""
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def signed(payload: object, header: object = None, secret: str = SECRET) -> str:
    """A token with a right HS256 signature, whatever it says."""
    content = f"{segment(header or {'alg': 'HS256', 'typ': 'JWT'})}.{segment(payload)}"
    return f"{content}.{segment(hmac.new(secret.encode(), content.encode(), sha256).digest())}"


async def refusal(tokens: JwtUserTokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await tokens.verify(token)
    return refused.value.message


class TestSecret:
    @pytest.fixture
    def tokens(self, clock: FakeClock) -> JwtUserTokens:
        return JwtUserTokens(clock, secret=SECRET)

    async def test_the_subject_is_the_customer(self, tokens: JwtUserTokens) -> None:
        assert await tokens.verify(signed(claims())) == "alice"

    async def test_a_token_that_was_signed_here_is_accepted_until_its_time_is_over(self, tokens: JwtUserTokens, clock: FakeClock) -> None:
        token = tokens.sign("alice", ttl_seconds=60)
        clock.now = START + timedelta(seconds=59)
        assert await tokens.verify(token) == "alice"

        clock.now = START + timedelta(seconds=60)
        assert "expired" in await refusal(tokens, token)

    async def test_any_library_can_verify_a_token_that_was_signed_here(self, tokens: JwtUserTokens) -> None:
        content, _, signature = tokens.sign("alice", 60).rpartition(".")

        assert signature == segment(hmac.new(SECRET.encode(), content.encode(), sha256).digest())
        assert json.loads(base64.urlsafe_b64decode(content.split(".")[1] + "==")) == {"sub": "alice", "iat": NOW, "exp": NOW + 60}

    @pytest.mark.parametrize("customer_id", ["", "a" * 256, "nul\0"])
    def test_no_token_is_signed_for_what_cannot_be_a_customer(self, tokens: JwtUserTokens, customer_id: str) -> None:
        with pytest.raises(ValueError, match="1–255"):
            tokens.sign(customer_id, 60)

    async def test_a_token_signed_with_another_secret_is_refused(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, signed(claims(), secret=SECRET + "!"))

    async def test_a_changed_payload_is_refused(self, tokens: JwtUserTokens) -> None:
        header, _, signature = signed(claims()).split(".")

        assert "not valid" in await refusal(tokens, f"{header}.{segment(claims(sub='bob'))}.{signature}")

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
    async def test_another_algorithm_is_refused_though_the_secret_is_right(self, tokens: JwtUserTokens, algorithm: str) -> None:
        token = jwt.encode(claims(), SECRET.ljust(64, "\0"), algorithm)

        assert "not valid" in await refusal(tokens, token)

    async def test_a_token_signed_with_somebodys_private_key_is_refused(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, rs256())
        assert "not valid" in await refusal(tokens, es256())

    @pytest.mark.parametrize("algorithm", ["none", "None", "", "hs256", None, 256, ["HS256"], {"HS256": 1}])
    async def test_no_algorithm_or_a_strange_one_is_refused(self, tokens: JwtUserTokens, algorithm: object) -> None:
        assert "not valid" in await refusal(tokens, signed(claims(), {"alg": algorithm}))
        assert "not valid" in await refusal(tokens, f"{segment({'alg': algorithm})}.{segment(claims())}.")

    async def test_an_expiry_is_required(self, tokens: JwtUserTokens) -> None:
        assert "'exp'" in await refusal(tokens, signed(claims(exp=None)))

    @pytest.mark.parametrize("exp", [NOW, NOW - 1, 0])
    async def test_the_expiry_lies_in_the_future(self, tokens: JwtUserTokens, exp: int) -> None:
        assert "expired" in await refusal(tokens, signed(claims(exp=exp)))

    async def test_a_fraction_of_a_second_is_enough(self, tokens: JwtUserTokens) -> None:
        assert await tokens.verify(signed(claims(exp=NOW + 0.5))) == "alice"

    @pytest.mark.parametrize("value", [str(NOW + 60), True, [NOW + 60], {}, -1, (NOW + 60) * 1000, 10**400, float("inf"), float("nan")])
    @pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
    async def test_times_are_seconds(self, tokens: JwtUserTokens, claim: str, value: object) -> None:
        assert f"'{claim}'" in await refusal(tokens, signed(claims(**{claim: value})))

    @pytest.mark.parametrize("claim", ["nbf", "iat"])
    async def test_a_token_from_the_future_is_refused_until_its_time_comes(
        self, tokens: JwtUserTokens, clock: FakeClock, claim: str
    ) -> None:
        token = signed(claims(**{claim: NOW + 31}, exp=NOW + 60))
        assert "not valid yet" in await refusal(tokens, token)

        clock.now = START + timedelta(seconds=31)
        assert await tokens.verify(token) == "alice"

    @pytest.mark.parametrize("claim", ["nbf", "iat"])
    async def test_the_issuers_clock_may_run_a_little_ahead(self, tokens: JwtUserTokens, claim: str) -> None:
        assert await tokens.verify(signed(claims(**{claim: NOW + CLOCK_SKEW_SECONDS_MAX}))) == "alice"
        assert "not valid yet" in await refusal(tokens, signed(claims(**{claim: NOW + CLOCK_SKEW_SECONDS_MAX + 1})))

    @pytest.mark.parametrize("payload", [claims(sub=None), {"sub": None, "exp": NOW + 60}])
    async def test_a_subject_is_required(self, tokens: JwtUserTokens, payload: object) -> None:
        assert "'sub'" in await refusal(tokens, signed(payload))

    @pytest.mark.parametrize("sub", [1, True, ["alice"], {"id": "alice"}, 1.5])
    async def test_the_subject_is_a_text(self, tokens: JwtUserTokens, sub: object) -> None:
        message = await refusal(tokens, signed(claims(sub=sub)))
        assert "'sub'" in message
        assert "string" in message

    @pytest.mark.parametrize("sub", ["", "a" * 256, "a\0", "a\n", "\x7fa", "a\x85", "\ud800", "a" * 255 + "\n"])
    async def test_the_subject_is_a_customer_id(self, tokens: JwtUserTokens, sub: str) -> None:
        assert "'sub'" in await refusal(tokens, signed(claims(sub=sub)))

    @pytest.mark.parametrize("sub", ["a", "a" * 255, "auth0|5f7c", "https://example.com/users/1", "Zoë 山田 👩‍👩‍👧"])
    async def test_any_other_subject_is_fine(self, tokens: JwtUserTokens, sub: str) -> None:
        assert await tokens.verify(signed(claims(sub=sub))) == sub
        assert await tokens.verify(tokens.sign(sub, 60)) == sub

    @pytest.mark.parametrize("aud", ["tollgate", ["tollgate"], ["another", "tollgate"]])
    async def test_a_token_for_an_audience_is_refused_where_none_is_configured(self, tokens: JwtUserTokens, aud: object) -> None:
        message = await refusal(tokens, signed(claims(aud=aud)))
        assert "'aud'" in message
        assert "TOLLGATE_JWT_AUDIENCE" in message

    @pytest.mark.parametrize("aud", ["tollgate", ["tollgate"], ["another", "tollgate"]])
    async def test_the_audience_may_be_one_of_several(self, clock: FakeClock, aud: object) -> None:
        tokens = JwtUserTokens(clock, secret=SECRET, audience="tollgate")

        assert await tokens.verify(signed(claims(aud=aud))) == "alice"

    @pytest.mark.parametrize("aud", [None, "", [], "another", ["another"], "tollgate2", "toll", {"tollgate": 1}, ["tollgate", 1], 1])
    async def test_a_token_for_another_audience_is_refused(self, clock: FakeClock, aud: object) -> None:
        tokens = JwtUserTokens(clock, secret=SECRET, audience="tollgate")

        assert "'aud'" in await refusal(tokens, signed(claims(aud=aud)))

    async def test_a_token_that_is_signed_here_names_the_audience(self, clock: FakeClock) -> None:
        tokens = JwtUserTokens(clock, secret=SECRET, audience="tollgate")

        assert await tokens.verify(tokens.sign("alice", 60)) == "alice"

    @pytest.mark.parametrize("empty", [None, ""])
    async def test_without_secret_and_keys_all_tokens_are_refused(self, clock: FakeClock, empty: str | None) -> None:
        tokens = JwtUserTokens(clock, secret=empty)

        for token in (signed(claims()), signed(claims(), secret=""), "no token"):
            assert "accepts no user tokens" in await refusal(tokens, token)
        with pytest.raises(ValueError, match="none is configured"):
            tokens.sign("alice", 60)

    async def test_a_short_secret_works_without_a_warning(self, clock: FakeClock) -> None:
        tokens = JwtUserTokens(clock, secret="short")

        assert await tokens.verify(tokens.sign("alice", 60)) == "alice"
        assert await tokens.verify(signed(claims(), secret="short")) == "alice"
        assert "not valid" in await refusal(tokens, signed(claims(), secret="shorter"))

    def test_a_public_key_is_no_secret(self, clock: FakeClock) -> None:
        with pytest.raises(jwt.InvalidKeyError, match="should not be used as an HMAC secret"):
            JwtUserTokens(clock, secret=pem(RSA_KEY.public_key()))

    async def test_only_genuine_tokens_learn_what_is_wrong_with_them(self, tokens: JwtUserTokens) -> None:
        wrong = [claims(exp=NOW - 1), claims(exp=None), claims(sub=""), claims(aud="another"), claims(nbf=NOW + 600), b"no json", "text"]

        messages = {await refusal(tokens, signed(payload, secret="forged")) for payload in wrong}

        assert messages == {await refusal(tokens, "no token")}

    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "no token",
            signed(claims())[:-1],
            signed(claims()) + ".",
            "." + signed(claims()),
            signed(claims()) + " ",
            signed(claims()) + "\n",
            signed(claims()) + "é",
            signed(claims()) + "\ud800",
            signed(b"{}"),
            signed(b"no json"),
            signed(b"\xff"),
            signed(["a list"]),
            signed(b'{"sub": "alice", "exp": ' + b"9" * 5000 + b"}"),
            signed(claims(), "a text"),
            signed(claims(), b"\xff"),
            signed(claims(), {"typ": "JWT"}),
            signed(claims(), {"alg": "HS256", "kid": 1}),
            signed(claims(), {"alg": "HS256", "crit": ["exp"], "exp": 1}),
            signed(claims(), {"alg": "HS256", "crit": ["b64"], "b64": False}),
            "[" * TOKEN_LENGTH_MAX,
            segment(b"[" * 5000) + ".e30.",
        ],
    )
    async def test_whatever_else_comes_is_refused(self, tokens: JwtUserTokens, token: str) -> None:
        await refusal(tokens, token)

    async def test_a_token_of_boundless_length_is_refused(self, tokens: JwtUserTokens) -> None:
        base = len(signed(claims(note="")))
        longest = signed(claims(note="n" * ((TOKEN_LENGTH_MAX - base) * 3 // 4 - 2)))
        assert TOKEN_LENGTH_MAX - 4 < len(longest) <= TOKEN_LENGTH_MAX
        assert await tokens.verify(longest) == "alice"

        assert "not valid" in await refusal(tokens, signed(claims(note="n" * TOKEN_LENGTH_MAX)))

    async def test_a_genuine_token_is_verified_once_and_its_times_each_time(
        self, tokens: JwtUserTokens, clock: FakeClock, mocker: MockerFixture
    ) -> None:
        decode = mocker.spy(jwt.PyJWT, "decode")
        token = signed(claims())

        assert [await tokens.verify(token) for _ in range(3)] == ["alice"] * 3
        clock.now = START + timedelta(seconds=60)
        assert "expired" in await refusal(tokens, token)

        assert decode.call_count == 1

    async def test_a_refused_token_is_not_remembered(self, tokens: JwtUserTokens, mocker: MockerFixture) -> None:
        decode = mocker.spy(jwt.PyJWT, "decode")

        for _ in range(2):
            await refusal(tokens, signed(claims(), secret="forged"))

        assert decode.call_count == 2


def pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def rsa_jwk(key: rsa.RSAPrivateKey = RSA_KEY, **members: object) -> dict[str, object]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), **members}


def ec_jwk(key: ec.EllipticCurvePrivateKey = EC_KEY, **members: object) -> dict[str, object]:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), **members}


def streamed(body: bytes) -> httpx.Response:
    """Arrives as from a network: not read yet."""
    return httpx.Response(200, stream=httpx.ByteStream(body))


class FakeIdentityProvider:
    """Publishes keys over HTTP without a network. `answer` may be replaced, to fail or to wait."""

    def __init__(self, *keys: object) -> None:
        self.keys: list[object] = list(keys)
        self.fetches = 0
        self.answer: Callable[[httpx.Request], Any] = self.publish

    def publish(self, request: httpx.Request) -> httpx.Response:
        return streamed(json.dumps({"keys": self.keys}).encode())

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.fetches += 1
        answer = self.answer(request)
        return answer if isinstance(answer, httpx.Response) else await answer

    def go_away(self) -> None:
        self.answer = lambda _: httpx.Response(503)

    def come_back(self) -> None:
        self.answer = self.publish


class TestPublishedKeys:
    @pytest.fixture
    def provider(self) -> FakeIdentityProvider:
        return FakeIdentityProvider(rsa_jwk(kid="rsa"), ec_jwk(kid="ec"))

    @pytest.fixture
    async def published_keys(self, provider: FakeIdentityProvider, clock: FakeClock) -> AsyncIterator[PublishedKeys]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(provider)) as client:
            yield PublishedKeys("https://id.example/jwks", client, clock)

    @pytest.fixture
    def tokens(self, published_keys: PublishedKeys, clock: FakeClock) -> JwtUserTokens:
        return JwtUserTokens(clock, published_keys=published_keys)

    async def test_rs256_and_es256_tokens_are_accepted(self, tokens: JwtUserTokens) -> None:
        assert await tokens.verify(rs256()) == "alice"
        assert await tokens.verify(es256()) == "alice"

    async def test_keys_are_fetched_once_for_many_tokens(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        await asyncio.gather(*(tokens.verify(token) for token in [rs256(), es256()] * 10))
        await tokens.verify(rs256())

        assert provider.fetches == 1

    async def test_claims_are_checked_as_strictly(self, published_keys: PublishedKeys, clock: FakeClock) -> None:
        tokens = JwtUserTokens(clock, published_keys=published_keys, audience="tollgate")
        good = claims(aud="tollgate")

        assert await tokens.verify(rs256(**good)) == "alice"
        assert "'aud'" in await refusal(tokens, rs256(**good | {"aud": "another"}))
        assert "expired" in await refusal(tokens, rs256(**good | {"exp": NOW}))
        assert "'exp'" in await refusal(tokens, rs256(**good | {"exp": None}))
        assert "not valid yet" in await refusal(tokens, rs256(**good | {"nbf": NOW + 600}))
        assert "'sub'" in await refusal(tokens, rs256(**good | {"sub": "a" * 256}))

    async def test_an_accepted_token_expires(self, tokens: JwtUserTokens, clock: FakeClock) -> None:
        await tokens.verify(rs256())
        clock.now = START + timedelta(seconds=60)

        assert "expired" in await refusal(tokens, rs256())

    async def test_another_key_under_a_known_id_is_refused(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, rs256(OTHER_RSA_KEY))

    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
    async def test_another_algorithm_is_refused_though_the_key_is_right(self, tokens: JwtUserTokens, algorithm: str) -> None:
        assert "not valid" in await refusal(tokens, jwt.encode(claims(), RSA_KEY, algorithm, {"kid": "rsa"}))

    async def test_a_key_verifies_its_own_algorithm_only(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, es256(kid="rsa"))
        assert "not valid" in await refusal(tokens, rs256(kid="ec"))

    @pytest.mark.parametrize("secret", [None, SECRET])
    async def test_the_public_key_is_no_secret(self, published_keys: PublishedKeys, clock: FakeClock, secret: str | None) -> None:
        tokens = JwtUserTokens(clock, secret=secret, published_keys=published_keys)
        text = pem(RSA_KEY.public_key())

        for known_to_all in (text, text.strip(), json.dumps(rsa_jwk(kid="rsa")), str(rsa_jwk()["n"])):
            assert "not valid" in await refusal(tokens, signed(claims(), {"alg": "HS256", "kid": "rsa"}, known_to_all))

    async def test_without_a_secret_tokens_with_one_are_refused(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, signed(claims(), {"alg": "HS256", "kid": "rsa"}))
        assert "not valid" in await refusal(tokens, f"{segment({'alg': 'none', 'kid': 'rsa'})}.{segment(claims())}.")

    async def test_a_secret_and_published_keys_may_both_be_used(self, published_keys: PublishedKeys, clock: FakeClock) -> None:
        tokens = JwtUserTokens(clock, secret=SECRET, published_keys=published_keys)

        assert await tokens.verify(rs256()) == "alice"
        assert await tokens.verify(tokens.sign("bob", 60)) == "bob"

    @pytest.mark.parametrize("header", [{"alg": "RS256", "kid": 1}, {"alg": "RS256", "kid": ["rsa"]}, {"alg": ["RS256"]}, "a text"])
    async def test_a_strange_header_is_refused(self, tokens: JwtUserTokens, header: object) -> None:
        assert "not valid" in await refusal(tokens, signed(claims(), header))

    async def test_a_token_need_not_name_the_only_key(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        provider.keys = [rsa_jwk(kid="rsa"), rsa_jwk(kid="rsa")]

        assert await tokens.verify(rs256(kid=None)) == "alice"
        assert "not valid" in await refusal(tokens, rs256(OTHER_RSA_KEY, kid=None))

    async def test_a_token_that_names_none_of_several_keys_is_refused(self, tokens: JwtUserTokens) -> None:
        assert "not valid" in await refusal(tokens, rs256(kid=None))

    async def test_a_new_key_is_fetched_when_a_token_names_it(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        await tokens.verify(rs256())
        provider.keys = [rsa_jwk(OTHER_RSA_KEY, kid="new")]

        assert "not valid" in await refusal(tokens, rs256(OTHER_RSA_KEY, kid="new"))  # that soon after the last fetch
        clock.now += REFETCH_AFTER

        assert await tokens.verify(rs256(OTHER_RSA_KEY, kid="new")) == "alice"
        assert "not valid" in await refusal(tokens, rs256())

    async def test_unknown_keys_cause_few_fetches(self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock) -> None:
        for second in range(60):
            clock.now = START + timedelta(seconds=second)
            await asyncio.gather(*(refusal(tokens, rs256(kid=f"unknown {n}", exp=NOW + 600)) for n in range(3)))

        assert provider.fetches == 60 // REFETCH_AFTER.seconds

    async def test_a_withdrawn_key_is_refused_once_its_time_is_over(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        token = rs256(exp=NOW + 7200)
        await tokens.verify(token)
        provider.keys = [ec_jwk(kid="ec")]

        clock.now = START + KEYS_FRESH_FOR - timedelta(seconds=1)
        assert await tokens.verify(token) == "alice"

        clock.now = START + KEYS_FRESH_FOR
        assert "not valid" in await refusal(tokens, token)

    async def test_an_outage_is_told_apart_from_a_bad_token(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        provider.go_away()

        for _ in range(2):
            with pytest.raises(IdentityProviderUnavailable):
                await tokens.verify(rs256())
        assert provider.fetches == 1

    async def test_after_an_outage_tokens_are_accepted_again(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        provider.go_away()
        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256())

        provider.come_back()
        clock.now += REFETCH_AFTER

        assert await tokens.verify(rs256()) == "alice"
        assert "not valid" in await refusal(tokens, rs256(kid="unknown"))

    async def test_known_keys_outlast_an_outage_for_a_time(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        token = rs256(exp=NOW + 7200)
        await tokens.verify(token)
        provider.go_away()

        clock.now = START + KEYS_USABLE_FOR - timedelta(seconds=1)
        assert await tokens.verify(token) == "alice"
        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256(kid="unknown", exp=NOW + 7200))

        clock.now = START + KEYS_USABLE_FOR
        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(token)

    async def test_during_an_outage_nobody_with_a_known_key_waits(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        token = rs256(exp=NOW + 7200)
        await tokens.verify(token)
        provider.go_away()
        clock.now = START + KEYS_FRESH_FOR
        await tokens.verify(token)

        provider.answer = never
        clock.now += REFETCH_AFTER
        assert await without_waiting(tokens.verify(token)) == "alice"
        await asyncio.sleep(0)
        assert provider.fetches == 3

    async def test_nobody_with_a_fresh_known_key_waits_for_somebody_elses_unknown_one(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock
    ) -> None:
        await tokens.verify(rs256())
        provider.answer = never
        clock.now += REFETCH_AFTER
        other = asyncio.ensure_future(tokens.verify(rs256(kid="unknown")))
        await asyncio.sleep(0.01)

        assert await without_waiting(tokens.verify(rs256())) == "alice"

        assert provider.fetches == 2
        other.cancel()

    async def test_a_caller_that_gives_up_does_not_end_the_fetch_for_the_others(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider
    ) -> None:
        go_on = asyncio.Event()

        async def slow(request: httpx.Request) -> httpx.Response:
            await go_on.wait()
            return provider.publish(request)

        provider.answer = slow
        impatient, patient = (asyncio.ensure_future(tokens.verify(rs256())) for _ in range(2))
        await asyncio.sleep(0.01)
        impatient.cancel()
        await asyncio.sleep(0.01)
        go_on.set()

        assert await patient == "alice"
        assert impatient.cancelled()
        assert provider.fetches == 1

    async def test_there_is_one_fetch_at_a_time(self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock) -> None:
        provider.answer = never
        waiting = []
        for _ in range(3):
            waiting.append(asyncio.ensure_future(tokens.verify(rs256())))
            await asyncio.sleep(0.01)
            clock.now += REFETCH_AFTER

        assert provider.fetches == 1
        for call in waiting:
            call.cancel()

    async def test_a_provider_that_never_answers_is_away(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, mocker: MockerFixture
    ) -> None:
        mocker.patch("infrastructure.user_tokens.FETCH_SECONDS_MAX", 0.01)
        provider.answer = never

        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256())

    @pytest.mark.parametrize(
        "response",
        [
            httpx.Response(404),
            streamed(b""),
            streamed(b"\xff"),
            streamed(b"[" * 100_000),
            streamed(json.dumps([]).encode()),
            streamed(json.dumps({}).encode()),
            streamed(json.dumps({"keys": {}}).encode()),
            streamed(json.dumps({"keys": []}).encode()),
            streamed(json.dumps({"keys": [rsa_jwk(kid="rsa")], "padding": "p" * KEY_SET_SIZE_BYTES_MAX}).encode()),
        ],
    )
    async def test_a_useless_answer_is_an_outage_and_keeps_the_known_keys(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, clock: FakeClock, response: httpx.Response
    ) -> None:
        await tokens.verify(rs256())
        provider.answer = lambda _: response
        clock.now = START + KEYS_FRESH_FOR

        assert await tokens.verify(rs256(exp=NOW + 600)) == "alice"
        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256(kid="unknown"))

    async def test_nobody_is_redirected_to_other_keys(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        elsewhere = "https://elsewhere.example/jwks"
        redirect = httpx.Response(302, headers={"Location": elsewhere})
        provider.answer = lambda request: provider.publish(request) if request.url == elsewhere else redirect

        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256())

    async def test_packed_keys_are_not_asked_for_and_not_unpacked(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        def packed(request: httpx.Request) -> httpx.Response:
            assert request.headers["Accept-Encoding"] == "identity"
            body = gzip.compress(json.dumps({"keys": provider.keys}).encode())
            return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(body))

        provider.answer = packed

        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256())

    async def test_a_network_failure_is_an_outage(self, tokens: JwtUserTokens, provider: FakeIdentityProvider) -> None:
        def unreachable(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no route to host", request=request)

        provider.answer = unreachable

        with pytest.raises(IdentityProviderUnavailable):
            await tokens.verify(rs256())

    @pytest.mark.parametrize(
        "unusable",
        [
            None,
            "a text",
            {},
            {"kty": "oct", "k": segment(SECRET.encode()), "kid": "rsa"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "rsa"},
            {"kty": "RSA", "n": "", "e": "AQAB", "kid": "rsa"},
            {"kty": "RSA", "n": 1, "e": 3, "kid": "rsa"},
            {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "é", "kid": "rsa"},
            rsa_jwk(OTHER_RSA_KEY, kid="rsa", use="enc"),
            rsa_jwk(OTHER_RSA_KEY, kid="rsa", alg="RS512"),
            rsa_jwk(OTHER_RSA_KEY, kid=["rsa"]),
            rsa_jwk(rsa.generate_private_key(65537, 1024), kid="rsa"),
            ec_jwk(ec.generate_private_key(ec.SECP384R1()), kid="rsa"),
        ],
    )
    async def test_a_published_key_that_is_none_of_ours_is_passed_over(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider, unusable: object
    ) -> None:
        provider.keys = [rsa_jwk(kid="rsa", use="sig", alg="RS256"), unusable]

        assert await tokens.verify(rs256()) == "alice"
        assert await tokens.verify(rs256(kid=None)) == "alice"

    async def test_a_private_key_that_was_published_by_mistake_verifies_like_the_public_one(
        self, tokens: JwtUserTokens, provider: FakeIdentityProvider
    ) -> None:
        provider.keys = [RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True) | {"kid": "rsa"}]

        assert await tokens.verify(rs256()) == "alice"

    def test_an_address_that_is_none_is_refused_at_the_start(self, clock: FakeClock) -> None:
        with pytest.raises(httpx.InvalidURL, match=re.escape("Invalid port")):
            PublishedKeys("https://id.example:port/jwks", httpx.AsyncClient(), clock)


async def without_waiting(call: Coroutine[None, None, str]) -> str:
    """What a call returns that needs nothing from outside."""
    done = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    assert done.done()
    return done.result()


async def never(request: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError(request)


def rs256(key: rsa.RSAPrivateKey = RSA_KEY, kid: str | None = "rsa", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, "RS256", {"kid": kid} if kid else None)


def es256(key: ec.EllipticCurvePrivateKey = EC_KEY, kid: str | None = "ec", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, "ES256", {"kid": kid} if kid else None)
