"""How every command on an account is carried out: locked, decided and written, many in one transaction.

A use case says which features a command is about and what is decided; everything that must never be forgotten (the lock, the
idempotency key, undoing a refused command, the commit) is here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from core.clock import Clock
from core.errors import DomainError
from core.metering.account import Account, CustomerNotFound
from core.metering.idempotency import Idempotency, IdempotencyKeyReused, Replay, StoredReply
from core.metering.ports import UnitOfWork


class AccountCommand(Protocol):
    """A command names one customer, and may carry an idempotency key."""

    @property
    def customer_id(self) -> str: ...

    @property
    def idempotency(self) -> Idempotency | None: ...


WRITTEN_AHEAD: Final = 200
"""Of a long list, so many commands are decided while the database writes what was decided before them."""

C = TypeVar("C", bound=AccountCommand)
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)
F = TypeVar("F")

CommandT = TypeVar("CommandT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class UseCase(Protocol[CommandT, ResultT]):
    """Decides commands in order, each on its own: an outcome is the result, the replay of an earlier one, or the refusal."""

    async def execute(self, commands: Sequence[CommandT]) -> Sequence[ResultT | Replay | DomainError]: ...


class AccountUseCase(ABC, Generic[C, R, U, F]):
    """C: the command. R: its result. U: the unit of work. F: what is read once for the whole list of commands."""

    def __init__(self, unit_of_work: Callable[[], U], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    @abstractmethod
    def features(self, command: C) -> Collection[str]:
        """The metered features to lock for the command."""

    @abstractmethod
    def decide(self, command: C, account: Account, facts: F, uow: U) -> R:
        """Decides one command on its locked account, or raises a DomainError; reads and writes nothing itself.

        What it did to the account is undone where it raises; what it handed to a repository is not, so that comes last.
        """

    @abstractmethod
    async def read(self, commands: Sequence[C], uow: U) -> F:
        """What `decide` needs besides accounts, read under the lock for all the commands together."""

    async def claims(self, commands: Sequence[C], uow: U) -> Mapping[str, Collection[str]]:
        """By customer, the features to lock. Overridden only where finding them takes a look into the database."""
        claims: dict[str, set[str]] = {}
        for command in commands:
            claims.setdefault(command.customer_id, set()).update(self.features(command))
        return claims

    async def execute(self, commands: Sequence[C]) -> Sequence[R | Replay | DomainError]:
        """Carries the commands out in one transaction. What it returns is committed."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            accounts = await uow.accounts.lock(await self.claims(commands, uow), at=now)
            keys = [(command.customer_id, command.idempotency.key) for command in commands if command.idempotency]
            replies = dict(await uow.replies.find(keys)) if keys else {}
            facts = await self.read(commands, uow)
            outcomes = []
            for number, command in enumerate(commands, start=1):
                outcomes.append(self._outcome(command, accounts, replies, facts, uow, now))
                if number % WRITTEN_AHEAD == 0:
                    await uow.accounts.write_ahead()
            await uow.commit()
        return outcomes

    def _outcome(
        self,
        command: C,
        accounts: Mapping[str, Account],
        replies: dict[tuple[str, str], StoredReply],
        facts: F,
        uow: U,
        now: datetime,
    ) -> R | Replay | DomainError:
        account = accounts.get(command.customer_id)
        if account is None:
            return CustomerNotFound(command.customer_id)
        once = command.idempotency
        if once is not None:
            stored = replies.get((command.customer_id, once.key))
            if stored is not None:
                return Replay(stored.reply) if stored.fingerprint == once.fingerprint else IdempotencyKeyReused(once.key)
        mark = account.mark()
        try:
            result = self.decide(command, account, facts, uow)
        except DomainError as refusal:
            account.undo(mark)
            return refusal
        if once is not None:
            reply = StoredReply(command.customer_id, once.key, once.fingerprint, once.encode(result))
            replies[command.customer_id, once.key] = reply
            uow.replies.add(reply, now)
        return result


async def execute_one(use_case: UseCase[CommandT, R], command: CommandT) -> R | Replay:
    """The outcome of a single command; a refusal is raised."""
    (outcome,) = await use_case.execute([command])
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome
