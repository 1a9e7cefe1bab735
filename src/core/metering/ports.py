"""What the engine asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from core.metering.account import Account
from core.metering.idempotency import StoredReply
from core.metering.ledger import Breakdown, CorrectedRecord, EventKey, LedgerQuery, UsageRecord
from core.metering.reservations import Reservation
from core.plans.periods import Period


class Accounts(ABC):
    """Customers' accounts, locked for the rest of the transaction."""

    locked: Mapping[str, Account]
    """What `lock` has answered."""

    @abstractmethod
    async def lock(self, features: Mapping[str, Collection[str]], at: datetime) -> Mapping[str, Account]:
        """Locks these features of these customers, in one order for everyone, and says where they stand at `at`.

        A customer that does not exist is absent from the answer. A counter that does not sum the period that contains `at` is
        rebuilt from the ledger under the lock. What the accounts then collect is written by `UnitOfWork.commit`.
        """

    @abstractmethod
    async def write_ahead(self) -> None:
        """May begin to write what the accounts have collected so far, and need not wait for it. Nothing stands before the commit."""

    @abstractmethod
    async def forget(self, features: Mapping[str, Collection[str]]) -> None:
        """Takes the counters of these features of these customers for wrong, so that `lock` rebuilds them."""


class Replies(ABC):
    """What was answered under idempotency keys."""

    @abstractmethod
    async def find(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], StoredReply]:
        """The stored replies among these (customer id, key) pairs."""

    @abstractmethod
    def add(self, reply: StoredReply, at: datetime) -> None:
        """To be written by `UnitOfWork.commit`, which raises ConcurrentUpdate where the key has been taken meanwhile."""


class Reservations(ABC):
    """Reservations in all their states. New states are written with the account that they belong to."""

    @abstractmethod
    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Reservation]:
        """The existing ones among these (customer id, reservation id) pairs."""


class Ledger(ABC):
    """Ledger entries inside a unit of work. New ones are written with the account that they belong to."""

    @abstractmethod
    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, CorrectedRecord]:
        """The existing ones among these (customer id, record id) pairs, with what they amount to by now."""

    @abstractmethod
    async def known_events(self, events: Iterable[EventKey]) -> set[EventKey]:
        """Those among these events that have been booked."""


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` undoes everything."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def replies(self) -> Replies: ...

    @property
    def reservations(self) -> Reservations: ...

    @property
    def ledger(self) -> Ledger: ...

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class AccountReader(ABC):
    """Accounts as they stand, locked by nobody."""

    @abstractmethod
    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        """With these features, or with all that the plan meters. Raises CustomerNotFound."""


class ReservationReader(ABC):
    """Reservations as they stand."""

    @abstractmethod
    async def get(self, customer_id: str, id: UUID) -> Reservation:
        """Raises ReservationNotFound."""


class LedgerReader(ABC):
    """The ledger's entries."""

    @abstractmethod
    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        """Newest first: by when it occurred, and then by id. Raises CustomerNotFound."""

    @abstractmethod
    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Mapping[str, Breakdown]:
        """By feature, what each dimension contributes within that feature's period, and what is held at `at`: all of one moment."""
