"""How every command on an account is carried out: locked, decided and written, many in one transaction.

A use case says which features a command is about and what is decided; everything that must never be forgotten (the lock, the
idempotency key, undoing a refused command, the commit) is here, once.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

from core.clock import Clock
from core.errors import DomainError
from core.metering.account import Account, CustomerNotFound
from core.metering.bookkeeping import BooksNotLoaded
from core.metering.counters import PeriodNotLoaded
from core.metering.idempotency import Once, Replay, ReplyKey, StoredReply
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.telling import tell


class AccountCommand(Protocol):
    """A command names one customer."""

    @property
    def customer_id(self) -> str: ...


C = TypeVar("C", bound=AccountCommand)
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)

CommandT = TypeVar("CommandT", contravariant=True)
CalledT = TypeVar("CalledT", covariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class Call(NamedTuple, Generic[CalledT]):
    """A command, and the idempotency key that the caller sent with it, if any."""

    command: CalledT
    once: Once | None = None


class UseCase(Protocol[CommandT, ResultT]):
    """Decides commands in order, each on its own: an outcome is the result, the replay of an earlier one, or the refusal."""

    async def execute(self, calls: Sequence[Call[CommandT]]) -> Sequence[ResultT | Replay | DomainError]: ...


class AccountUseCase(ABC, Generic[C, R, U]):
    """C: the command. R: its result. U: the unit of work, with the repositories that the use case works on."""

    features: ClassVar[Collection[str]] = ()
    """The metered features that every command locks."""

    def __init__(self, unit_of_work: Callable[[], U], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    def features_of(self, command: C) -> Collection[str]:
        """The metered features to lock for the command, where they differ from command to command."""
        return self.features

    async def claims(self, commands: Sequence[C], uow: U) -> Mapping[str, Collection[Meter]]:
        """By customer, the meters to lock. Overridden only where finding them takes a look into the storage."""
        features: defaultdict[str, set[str]] = defaultdict(set)
        for command in commands:
            features[command.customer_id].update(self.features_of(command))
        return {customer_id: [Meter(customer_id, feature) for feature in wanted] for customer_id, wanted in features.items()}

    async def load(self, commands: Sequence[C], uow: U) -> None:
        """Loads what `decide` needs besides accounts, under the lock, for all the commands together."""

    def dated(self, commands: Sequence[C], uow: U) -> Iterable[tuple[Meter, datetime]]:
        """The instants at which usage of these meters may be booked, besides now, as far as the commands show them.

        Asked only once a command books into a period that is not the current one: what was used in all such periods is then read by one
        question. One that is left out takes a question of its own.
        """
        return ()

    @abstractmethod
    def decide(self, command: C, account: Account, uow: U) -> R:
        """Decides one command on its locked account, or raises a DomainError; it waits for nothing.

        Where it raises, all that it did to the account and gave to repositories is taken back.
        """

    async def execute(self, calls: Sequence[Call[C]]) -> Sequence[R | Replay | DomainError]:
        """Carries the commands out in one transaction. What it returns is committed."""
        now = self._clock()
        commands = [call.command for call in calls]
        async with self._unit_of_work() as uow:
            accounts = await uow.accounts.lock(await self.claims(commands, uow), at=now)
            await uow.replies.load(ReplyKey(call.command.customer_id, call.once.key) for call in calls if call.once)
            await self.load(commands, uow)
            outcomes = []
            for call in calls:
                while True:
                    try:
                        outcomes.append(self._outcome(call, accounts, uow, now))
                        break
                    except PeriodNotLoaded as missing:
                        await uow.accounts.load_periods([(missing.meter, missing.at), *self.dated(commands, uow)])
                    except BooksNotLoaded as missing_books:
                        await uow.accounts.load_books(missing_books)
                if (pause := uow.decided()) is not None:
                    await pause
            await tell(accounts.values(), uow)
            await uow.commit()
        return outcomes

    def _outcome(self, call: Call[C], accounts: Mapping[str, Account], uow: U, now: datetime) -> R | Replay | DomainError:
        command, once = call
        account = accounts.get(command.customer_id)
        if account is None:
            return CustomerNotFound(command.customer_id)
        mark = uow.journal.mark()
        try:
            if once is None:
                return self.decide(command, account, uow)
            if stored := uow.replies.get(ReplyKey(command.customer_id, once.key)):
                return stored.replayed(once)
            result = self.decide(command, account, uow)
            uow.replies.save(
                StoredReply(
                    customer_id=command.customer_id, key=once.key, fingerprint=once.fingerprint, reply=once.encode(result), answered_at=now
                )
            )
            return result
        except DomainError as refusal:
            uow.journal.undo(mark)
            return refusal
        except (PeriodNotLoaded, BooksNotLoaded):
            uow.journal.undo(mark)
            raise


async def execute_one(use_case: UseCase[CommandT, R], command: CommandT, once: Once | None = None) -> R | Replay:
    """The outcome of a single command; a refusal is raised."""
    (outcome,) = await use_case.execute([Call(command, once)])
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome
