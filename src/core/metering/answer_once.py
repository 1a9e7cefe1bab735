"""Answer a repeated request as the first time, where its effects are idempotent by themselves."""

from collections.abc import Awaitable, Callable

from core.clock import Clock
from core.errors import ConcurrentUpdate
from core.metering.idempotency import IdempotencyKeyReused, ReplyKey, StoredReply
from core.metering.ports import UnitOfWork


class AnswerOnce:
    """Keeps the answer to a request that concerns many customers, under the caller's key.

    Only for requests whose effects take place once whatever happens: the answer is stored after them, so a crash in between loses
    the answer and nothing else. Everything else stores its answer in the transaction of its effect (`AccountUseCase`).
    """

    def __init__(self, unit_of_work: Callable[[], UnitOfWork], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def execute(self, caller: str, key: str, fingerprint: bytes, answer: Callable[[], Awaitable[bytes]]) -> tuple[bytes, bool]:
        """The answer, and whether it is a repeated one. Raises IdempotencyKeyReused."""
        owner = _owner(caller)
        stored = await self._stored(owner, key, fingerprint)
        if stored is not None:
            return stored, True
        given = await answer()
        try:
            async with self._unit_of_work() as uow:
                uow.replies.save(StoredReply(customer_id=owner, key=key, fingerprint=fingerprint, reply=given, answered_at=self._clock()))
                await uow.commit()
        except ConcurrentUpdate:
            theirs = await self._stored(owner, key, fingerprint)
            return given if theirs is None else theirs, True
        return given, False

    async def claim(self, caller: str, key: str, fingerprint: bytes) -> bool:
        """Ties the key to this input, where every part of the request is answered under a key of its own.

        The claim alone has no effect; whether it is the first one, and no repeat with the same input. Raises IdempotencyKeyReused.
        """
        owner = _owner(caller)
        if await self._stored(owner, key, fingerprint) is not None:
            return False
        try:
            async with self._unit_of_work() as uow:
                uow.replies.save(StoredReply(customer_id=owner, key=key, fingerprint=fingerprint, reply=b"", answered_at=self._clock()))
                await uow.commit()
        except ConcurrentUpdate:
            await self._stored(owner, key, fingerprint)
            return False
        return True

    async def _stored(self, owner: str, key: str, fingerprint: bytes) -> bytes | None:
        async with self._unit_of_work() as uow:
            await uow.replies.load([ReplyKey(owner, key)])
            stored = uow.replies.get(ReplyKey(owner, key))
        if stored is None:
            return None
        if stored.fingerprint != fingerprint:
            raise IdempotencyKeyReused(key)
        return stored.reply


def _owner(caller: str) -> str:
    """Stands where a customer's id would; no customer has a control character in its own."""
    return f"\x1f{caller}"
