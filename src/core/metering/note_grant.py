"""Tell that a grant is about to end, or has ended."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.metering.grant_events import GRANT_EXPIRED, GRANT_EXPIRING, grant_event
from core.metering.grants import GrantKey
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class NoteGrantCommand:
    """Names the grant."""

    customer_id: str
    grant_id: UUID


class NoteGrant(AccountUseCase[NoteGrantCommand, bool, UnitOfWork]):
    """Tell that a grant has ended by the clock, or is about to, each once; and raise what usage stands at without it.

    One that was voided is not told, and neither is one that is about to end with nothing left. The result says whether it was told.
    """

    async def claims(self, commands: Sequence[NoteGrantCommand], uow: UnitOfWork) -> Mapping[str, AbstractSet[Meter]]:
        claims: dict[str, set[Meter]] = {command.customer_id: set() for command in commands}
        for known in await uow.grants.find(list(dict.fromkeys(map(_key, commands)))):
            claims[known.customer_id].add(known.meter)
        return claims

    async def load(self, commands: Sequence[NoteGrantCommand], uow: UnitOfWork) -> None:
        await uow.grants.load(map(_key, commands))

    def decide(self, command: NoteGrantCommand, account: Account, uow: UnitOfWork) -> bool:
        grant = uow.grants.get(_key(command))
        if grant is None or grant.voided_at is not None or grant.expires_at is None:
            return False
        feature = account.balance(grant.feature).feature
        standing, now = account.standing_of(grant), account.now
        if grant.expires_at <= now:
            uow.outbox.add(grant_event(GRANT_EXPIRED, standing, feature, now, account.new_id, occurred_at=grant.expires_at))
            return True
        if standing.left:
            uow.outbox.add(grant_event(GRANT_EXPIRING, standing, feature, now, account.new_id))
        return standing.left > 0


def _key(command: NoteGrantCommand) -> GrantKey:
    return GrantKey(command.customer_id, command.grant_id)
