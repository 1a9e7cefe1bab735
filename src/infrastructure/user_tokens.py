"""User tokens as JSON Web Tokens: HS256 with a secret of our own, or RS256 and ES256 with keys that an identity provider publishes."""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import httpx
import jwt
from jwt.exceptions import InvalidSubjectError
from jwt.types import Options

from core.access.ports import IdentityProviderUnavailable, UserTokens
from core.access.principal import Unauthenticated
from core.clock import Clock
from core.text import is_id
from infrastructure.logs.withheld import described

TOKEN_LENGTH_MAX: Final = 8_192
TOKENS_REMEMBERED_MAX: Final = 4_096
CLOCK_SKEW_SECONDS_MAX: Final = 5
"""How far an issuer's clock may run ahead of ours. Nothing is granted at the other end: an expired token has expired."""

KEYS_FRESH_FOR: Final = timedelta(minutes=5)
"""How long published keys are used before they are fetched again, and so how long a withdrawn one may still be accepted."""
KEYS_USABLE_FOR: Final = timedelta(hours=1)
"""How long they are used while they cannot be fetched again."""
REFETCH_AFTER: Final = timedelta(seconds=5)
"""The least time between two fetches, however many tokens name unknown keys."""
FETCH_SECONDS_MAX: Final = 3.0
KEY_SET_SIZE_BYTES_MAX: Final = 256 * 1024

_OWN_ALGORITHM: Final = "HS256"
_PUBLISHED_ALGORITHMS: Final = ("RS256", "ES256")
_NUMERIC_DATE_MAX: Final = 253_402_300_799  # the end of the year 9999, which also tells milliseconds from seconds
_SIGNATURE_ONLY: Final[Options] = {"require": [], "verify_aud": False, "verify_sub": False, "verify_exp": False}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_ID: Final = "1–255 characters, no control characters among them, and no white space at either end"
_OTHER_AUDIENCE: Final = (
    "The token is meant for another service: its 'aud' does not name this one, which is what TOLLGATE_JWT_AUDIENCE says."
)
_NO_AUDIENCE: Final = "The token names an audience ('aud'), and none is configured here: set TOLLGATE_JWT_AUDIENCE to it, or leave it out."
_NOT_VALID: Final = "The token is not valid: get a new one."

_log = logging.getLogger("tollgate")


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a genuine token says. Times are seconds since the epoch."""

    customer_id: str
    not_before: float
    expires_at: float


class PublishedKeys:
    """The keys behind a JWKS URL: fetched when one is needed, and kept for a time.

    Nobody waits for a fetch who holds a token with a fresh, known key. One instance serves one event loop. The HTTP client
    belongs to the caller, who closes it.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, clock: Clock) -> None:
        self._url = httpx.URL(url)
        self._client = client
        self._clock = clock
        self._keys: dict[tuple[str, str | None], jwt.PyJWK] = {}
        self._fetched_at = self._attempted_at = _NEVER
        self._away = False
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, key_id: str | None) -> jwt.PyJWK:
        """Raises Unauthenticated where no such key is published, IdentityProviderUnavailable where that cannot be known."""
        now = self._clock()
        key = self._known(algorithm, key_id, now)
        stale = now - self._fetched_at >= KEYS_FRESH_FOR
        if (key is None or stale) and self._fetch is None and now - self._attempted_at >= REFETCH_AFTER:
            self._attempted_at = now
            self._fetch = asyncio.get_running_loop().create_task(self._refresh(now), context=Context())
        if self._fetch is not None and (key is None or (stale and not self._away)):
            await asyncio.shield(self._fetch)  # shared, so that a caller who gives up does not end it for the others
            key = self._known(algorithm, key_id, now)
        if key is not None:
            return key
        if self._away:
            raise IdentityProviderUnavailable
        raise Unauthenticated(_NOT_VALID)

    def _known(self, algorithm: str, key_id: str | None, now: datetime) -> jwt.PyJWK | None:
        return self._keys.get((algorithm, key_id)) if now - self._fetched_at < KEYS_USABLE_FOR else None

    async def _refresh(self, now: datetime) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                self._keys = _verification_keys(await self._download())
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            self._away = True
            _log.warning("The keys at %s could not be fetched: %s", self._url.host, described(error))
        else:
            self._away = False
            self._fetched_at = now
        finally:
            self._fetch = None

    async def _download(self) -> bytes:
        # Unpacked content could be of any size.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        async with self._client.stream("GET", self._url, headers=headers, follow_redirects=False) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > KEY_SET_SIZE_BYTES_MAX:
                    raise ValueError(f"more than {KEY_SET_SIZE_BYTES_MAX} bytes")
            return bytes(body)


class JwtUserTokens(UserTokens):
    """Verifies tokens strictly: a pinned algorithm, an expiry, a subject, and the audience where there is one.

    A secret shorter than the 32 bytes that RFC 7518 asks for is accepted: how strong it has to be is the operator's decision. With
    neither a secret nor published keys, every token is refused.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        secret: str | None = None,
        old_secrets: Sequence[str] = (),
        published_keys: PublishedKeys | None = None,
        audience: str | None = None,
    ) -> None:
        self._clock = clock
        self._secret = _hmac_key(secret) if secret else None
        self._secrets = [*([self._secret] if self._secret else []), *map(_hmac_key, old_secrets)]
        self._published_keys = published_keys
        self._audience = audience or None
        # Times are left to `_Claims` and the injected clock, and are no part of what is remembered.
        self._jwt = jwt.PyJWT({"require": ["exp", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False})
        self._own_claims = lru_cache(TOKENS_REMEMBERED_MAX)(self._verify_own)

    async def verify(self, token: str) -> str:
        if len(token) > TOKEN_LENGTH_MAX or not token.isascii():
            raise Unauthenticated(_NOT_VALID)
        claims = await self._claims(token)
        now = self._clock().timestamp()
        if now >= claims.expires_at:
            raise Unauthenticated("The token has expired: get a new one.")
        if now + CLOCK_SKEW_SECONDS_MAX < claims.not_before:
            raise Unauthenticated("The token is not valid yet: its 'nbf' or 'iat' lies in the future.")
        return claims.customer_id

    def sign(self, customer_id: str, ttl_seconds: int) -> str:
        """A token for the customer, signed with the secret. Raises ValueError without a secret, or where the id cannot be one."""
        if self._secret is None:
            raise ValueError("User tokens are signed with a secret, and none is configured.")
        if not is_id(customer_id):
            raise ValueError(f"A customer id is {_ID}.")
        now = int(self._clock().timestamp())
        claims: dict[str, object] = {"sub": customer_id, "iat": now, "exp": now + ttl_seconds}
        if self._audience:
            claims["aud"] = self._audience
        return self._jwt.encode(claims, self._secret, _OWN_ALGORITHM)

    async def _claims(self, token: str) -> _Claims:
        if self._published_keys is not None:
            algorithm, key_id = _algorithm_and_key_id(token)
            if algorithm in _PUBLISHED_ALGORITHMS:
                return self._verify(token, await self._published_keys.find(algorithm, key_id), algorithm)
        return self._own_claims(token)

    def _verify_own(self, token: str) -> _Claims:
        if not self._secrets:
            no_tokens = "This service accepts no user tokens (neither TOLLGATE_JWT_SECRET nor TOLLGATE_JWKS_URL is set): use a service key."
            raise Unauthenticated(_NOT_VALID if self._published_keys else no_tokens)
        last = self._secrets[-1]  # which tells by itself what is wrong with a token
        signed_by = next((secret for secret in self._secrets[:-1] if self._is_signed(token, secret)), last)
        return self._verify(token, signed_by, _OWN_ALGORITHM)

    def _is_signed(self, token: str, secret: bytes) -> bool:
        try:
            self._jwt.decode_complete(token, secret, [_OWN_ALGORITHM], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError:
            return False
        return True

    def _verify(self, token: str, key: jwt.PyJWK | bytes, algorithm: str) -> _Claims:
        """What is told below the first line is told of genuine tokens only: the signature is checked before any claim."""
        try:
            claims = self._jwt.decode(token, key, [algorithm], audience=self._audience)
        except jwt.InvalidAudienceError as error:
            raise Unauthenticated(_OTHER_AUDIENCE if self._audience else _NO_AUDIENCE) from error
        except InvalidSubjectError as error:
            raise Unauthenticated(
                "The token's 'sub' is not a string: it has to be the customer's id, in quotes, also where that is a number."
            ) from error
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"The token lacks the claim {error.claim!r}.") from error
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(_NOT_VALID) from error
        customer_id = claims["sub"]
        if not is_id(customer_id):
            raise Unauthenticated(f"The token's 'sub' is not a customer id: {_ID}.")
        not_before = max(_time(claims, "nbf", 0), _time(claims, "iat", 0))
        return _Claims(customer_id, not_before, _time(claims, "exp", 0))


def _hmac_key(secret: str) -> bytes:
    """Raises jwt.InvalidKeyError where the secret is in truth a public key or a certificate, which anybody may know.

    HMAC itself fills a short key up with zeros (RFC 2104). Doing it here changes no signature, and spares a warning for each.
    """
    key: bytes = jwt.get_algorithm_by_name(_OWN_ALGORITHM).prepare_key(secret)
    return key.ljust(32, b"\0")


def _algorithm_and_key_id(token: str) -> tuple[object, str | None]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(_NOT_VALID) from error
    return header.get("alg"), header.get("kid")


def _time(claims: dict[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _NUMERIC_DATE_MAX:
        raise Unauthenticated(f"The token's {name!r} is not a time in seconds since 1970.")
    return value


def _verification_keys(key_set: bytes) -> dict[tuple[str, str | None], jwt.PyJWK]:
    """By algorithm and key id, the keys of the set that tokens can be verified with. Raises ValueError where there are none."""
    match json.loads(key_set):
        case {"keys": [*published]}:
            keys = dict(key for key in map(_verification_key, published) if key is not None)
        case _:
            raise ValueError("not a JSON Web Key Set")
    if not keys:
        raise ValueError("no key for " + " or ".join(_PUBLISHED_ALGORITHMS))
    if len(keys) == 1:
        (((algorithm, _), only_key),) = keys.items()
        keys[algorithm, None] = only_key  # a token need not say which
    return keys


def _verification_key(published: Any) -> tuple[tuple[str, str | None], jwt.PyJWK] | None:
    """The key that one entry of a set describes, under algorithm and key id; None where it is none of ours, or too weak."""
    # Only what makes up the public key is passed on: with more in it, an entry would be read as a private key.
    match published:
        case {"kty": "RSA", "n": str(n), "e": str(e)}:
            algorithm, public = "RS256", {"kty": "RSA", "n": n, "e": e}
        case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)}:
            algorithm, public = "ES256", {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case _:
            return None
    key_id = published.get("kid")
    if published.get("use", "sig") != "sig" or published.get("alg", algorithm) != algorithm or not isinstance(key_id, str | None):
        return None
    try:
        key = jwt.PyJWK(public, algorithm)
    except jwt.PyJWTError:
        return None
    return None if key.Algorithm.check_key_length(key.key) else ((algorithm, key_id), key)
