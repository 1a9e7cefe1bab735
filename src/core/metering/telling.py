"""What a unit of work tells of its accounts, before it commits."""

from collections.abc import Iterable

from core.metering.account import Account
from core.metering.grant_events import GRANT_DEPLETED, grant_event
from core.metering.grants import GrantKind, StandingGrant
from core.metering.ports import AccountsUnitOfWork


async def tell(accounts: Iterable[Account], uow: AccountsUnitOfWork) -> None:
    """Puts into the outbox what was raised, and which grants are used up. Asks nothing where there is neither."""
    for account in accounts:
        for raised in account.alerts:
            uow.outbox.add(raised.event)
        if account.depleted:
            await _tell_depleted(account, uow)


async def _tell_depleted(account: Account, uow: AccountsUnitOfWork) -> None:
    keys = list(dict.fromkeys(account.depleted))
    await uow.grants.load(keys)
    for grant in map(uow.grants.get, keys):
        assert grant is not None, "something was taken from it"
        if grant.kind is not GrantKind.ROLLOVER:
            feature = account.balance(grant.feature).feature
            standing = StandingGrant(grant, grant.quantity, 0)
            uow.outbox.add(grant_event(GRANT_DEPLETED, standing, feature, account.now, account.new_id))
