"""Take back what is left of a grant."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.metering.grant_events import GRANT_VOIDED, grant_event
from core.metering.grants import GrantEnded, GrantKey, GrantNotFound
from core.metering.issue_grant import Granted
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class VoidGrantCommand:
    """Names the grant, and says why."""

    customer_id: str
    grant_id: UUID
    reason: str
    voided_by: str


class VoidGrant(AccountUseCase[VoidGrantCommand, Granted, UnitOfWork]):
    """Void a grant, now: what is left of it is gone, what was burnt stays burnt.

    - Once: again, it stays as it was voided first, with the first reason.
    - What flows back to it later, by a correction, lapses.
    """

    async def claims(self, commands: Sequence[VoidGrantCommand], uow: UnitOfWork) -> Mapping[str, Collection[Meter]]:
        # What a grant is of never changes, so it can be looked up before the lock; the grant is loaded after it.
        claims: dict[str, set[Meter]] = {command.customer_id: set() for command in commands}
        for known in await uow.grants.find(list(dict.fromkeys(map(_key, commands)))):
            claims[known.customer_id].add(known.meter)
        return claims

    async def load(self, commands: Sequence[VoidGrantCommand], uow: UnitOfWork) -> None:
        await uow.grants.load(map(_key, commands))

    def decide(self, command: VoidGrantCommand, account: Account, uow: UnitOfWork) -> Granted:
        """Raises GrantNotFound, and GrantEnded where it has expired."""
        known = uow.grants.get(_key(command))
        if known is None:
            raise GrantNotFound(str(command.grant_id))
        if known.voided_at is None:
            if known.ends_at <= account.now:
                raise GrantEnded(known.id, known.ends_at)
            known = account.void(known, command.voided_by, command.reason)
            feature = account.balance(known.feature).feature
            uow.outbox.add(grant_event(GRANT_VOIDED, account.standing_of(known), feature, account.now, account.new_id))
        return Granted(account.standing_of(known), account.balance(known.feature), account.now)


def _key(command: VoidGrantCommand) -> GrantKey:
    return GrantKey(command.customer_id, command.grant_id)
