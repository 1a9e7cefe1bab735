"""Find out from a credential who is calling."""

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from core.access.console_session import ConsoleSession
from core.access.ports import ServiceKeyReader, UserTokens
from core.access.principal import Principal, Unauthenticated
from core.access.service_keys import BOOTSTRAP_NAME, KEY_PREFIX, Scope, digest, key_id_of
from core.clock import Clock

KeyUsed: TypeAlias = Callable[[UUID, datetime], None]
"""Is told which key was used, and when; it has to be quick."""

_KEY_GONE: Final = "The service key is unknown, expired or revoked: ask an administrator for a new one."
_BOOTSTRAP: Final = Principal.service(BOOTSTRAP_NAME, Scope.ADMIN)


class Authenticator:
    """A credential is one of three things; anything else is refused:

    - a bootstrap key, which comes from the settings and has the scope `admin`: there may be two, so that one can take the other's place;
      without one, or with an empty one, there is no such key;
    - a service key (`tg_…`), which is looked up each time, so that a revoked one is refused from then on;
    - a user token, whose subject is the customer.
    """

    def __init__(
        self, service_keys: ServiceKeyReader, user_tokens: UserTokens, clock: Clock, used: KeyUsed, *bootstrap_keys: str | None
    ) -> None:
        self._service_keys = service_keys
        self._clock = clock
        self._used = used
        self._user_tokens = user_tokens
        self._bootstrap_digests = [digest(key) for key in bootstrap_keys if key]

    async def authenticate(self, credential: str) -> Principal:
        """Raises Unauthenticated; IdentityProviderUnavailable and StorageUnavailable where that cannot be found out."""
        # Digests are compared, since comparing the texts in constant time would still give away the length.
        if self._bootstrap_digests:
            given = digest(credential)
            for known in self._bootstrap_digests:
                if hmac.compare_digest(known, given):
                    return _BOOTSTRAP
        if credential.startswith(KEY_PREFIX):
            return await self._service(credential)
        return Principal.user(await self._user_tokens.verify(credential))

    async def remember(self, session: ConsoleSession) -> Principal:
        """Whoever has begun the session: its key has to be valid still. Raises Unauthenticated and StorageUnavailable."""
        if session.key_id is None:
            if any(hmac.compare_digest(known, session.key_hash) for known in self._bootstrap_digests):
                return _BOOTSTRAP
            raise Unauthenticated(_KEY_GONE)
        key = (await self._service_keys.find([session.key_id])).get(session.key_id)
        if key is None or not hmac.compare_digest(key.secret_hash, session.key_hash) or not key.is_valid(self._clock()):
            raise Unauthenticated(_KEY_GONE)
        return Principal.service(key.name or str(key.id), key.scope, key.id)

    async def _service(self, text: str) -> Principal:
        id = key_id_of(text)
        key = (await self._service_keys.find([id])).get(id) if id else None
        now = self._clock()
        if key is None or not key.matches(text, now):
            raise Unauthenticated(_KEY_GONE)
        self._used(key.id, now)
        return Principal.service(key.name or str(key.id), key.scope, key.id)
