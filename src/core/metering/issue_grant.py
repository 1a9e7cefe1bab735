"""Give a customer more of a feature than its plan does."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.metering.account import BACKDATING_MAX, Account
from core.metering.balance import Balance
from core.metering.grant_events import GRANT_CREATED, grant_event
from core.metering.grants import PRIORITY_DEFAULT, Grant, GrantKind, GrantReferenceTaken, InvalidGrant, StandingGrant
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueGrantCommand:
    """`quantity` is in the feature's unit. `effective_at` of None is now, `expires_at` of None never.

    `reference` is the caller's own name of it, such as an order's: the same one again finds the same grant.
    """

    customer_id: str
    feature: str
    quantity: Decimal
    kind: GrantKind
    priority: int = PRIORITY_DEFAULT
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None
    created_by: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant after a command, and where its feature stands at this instant."""

    standing: StandingGrant
    balance: Balance
    at: datetime
    is_new: bool = False


class IssueGrant(AccountUseCase[IssueGrantCommand, Granted, UnitOfWork]):
    """Put a grant on top of the allowance: paid, or promotional.

    - It first covers this period's usage that nothing covered.
    - A reference is used once: again with the same content, it is the same grant; with another, it is refused.
    - It may begin ahead, and up to 35 days back, as usage may.
    """

    def features_of(self, command: IssueGrantCommand) -> Collection[str]:
        return [command.feature]

    async def load(self, commands: Sequence[IssueGrantCommand], uow: UnitOfWork) -> None:
        await uow.grants.load_referred((command.customer_id, command.reference) for command in commands if command.reference)

    def decide(self, command: IssueGrantCommand, account: Account, uow: UnitOfWork) -> Granted:
        """Raises FeatureNotInPlan, FeatureNotMetered, InvalidQuantity, InvalidGrant and GrantReferenceTaken."""
        feature = account.balance(command.feature).feature
        quantity = feature.positive_parts(command.quantity)
        known = uow.grants.referred(command.customer_id, command.reference) if command.reference else None
        if known is not None:
            return _again(command, known, quantity, account)
        grant = Grant(
            id=account.new_id(),
            customer_id=command.customer_id,
            feature=command.feature,
            kind=command.kind,
            quantity=quantity,
            priority=command.priority,
            effective_at=_effective_at(command.effective_at, account.now),
            expires_at=command.expires_at,
            reference=command.reference,
            reason=command.reason,
            created_at=account.now,
            created_by=command.created_by,
        )
        if grant.expires_at is not None and grant.expires_at <= grant.effective_at:
            raise InvalidGrant("expires_at", "expires_at must come after effective_at; null: the grant never expires.")
        account.grant(grant)
        standing = account.standing_of(grant)
        uow.outbox.add(grant_event(GRANT_CREATED, standing, feature, account.now, account.new_id))
        return Granted(standing, account.balance(grant.feature), account.now, is_new=True)


def _effective_at(asked: datetime | None, now: datetime) -> datetime:
    if asked is None:
        return now
    if asked < now - BACKDATING_MAX:
        raise InvalidGrant("effective_at", f"effective_at may lie at most {BACKDATING_MAX.days} days back; null: now.")
    return asked


def _again(command: IssueGrantCommand, known: Grant, quantity: int, account: Account) -> Granted:
    asked = (command.feature, command.kind, quantity, command.priority, command.expires_at, command.effective_at or known.effective_at)
    if asked != (known.feature, known.kind, known.quantity, known.priority, known.expires_at, known.effective_at):
        raise GrantReferenceTaken(known.reference or "", known.id)
    return Granted(account.standing_of(known), account.balance(known.feature), account.now)
