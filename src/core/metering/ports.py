"""What the engine asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar

from core.metering.account import Account
from core.metering.alerts import Alert
from core.metering.bookkeeping import BooksNotLoaded
from core.metering.counters import Counted
from core.metering.event_types import EventType, EventTypes
from core.metering.grants import GrantEntry, GrantKey, Grants, GrantState, StandingGrant
from core.metering.idempotency import ReplyKey, StoredReply
from core.metering.journal import Journal
from core.metering.ledger import Breakdown, EventKey, LedgerQuery, UsageRecord
from core.metering.meters import Meter
from core.metering.outbox import Outbox
from core.metering.owned import Owned, OwnedRepository
from core.metering.reader import Position, Reader
from core.metering.records import Records
from core.metering.repository import Repository
from core.metering.reservations import Reservation, ReservationKey, ReservationNotFound, Reservations, ReservationState
from core.plans.periods import Period

OwnedT = TypeVar("OwnedT", bound=Owned)


class Accounts(ABC):
    """Customers' accounts, locked for the rest of the transaction."""

    locked: Mapping[str, Account]
    """What `lock` has answered."""

    @abstractmethod
    async def lock(self, meters: Mapping[str, Collection[Meter]], at: datetime) -> Mapping[str, Account]:
        """By customer, locks these meters, in one order for everyone, and says where they stand at `at`.

        A customer that does not exist is absent from the answer. A counter that does not sum the period that contains `at` is
        rebuilt from the ledger under the lock. What the accounts then collect is written by `UnitOfWork.commit`.
        """

    async def load_periods(self, dated: Iterable[tuple[Meter, datetime]]) -> None:
        """Reads what was used of the meters in the periods that contain these instants, so that their accounts can book there.

        Asks one question, and only about locked meters and periods that no account knows yet.
        """
        wanted: dict[Counted, Account] = {}
        for meter, at in dated:
            account = self.locked.get(meter.customer_id)
            period = account and account.unknown_period(meter.feature, at)
            if account and period:
                wanted[meter, period] = account
        if wanted:
            for (meter, period), used in (await self.used_within(list(wanted))).items():
                wanted[meter, period].learn(meter.feature, period, used)

    @abstractmethod
    async def used_within(self, wanted: Sequence[Counted]) -> Mapping[Counted, int]:
        """The ledger's own sums, of locked meters."""

    @abstractmethod
    async def load_books(self, missing: BooksNotLoaded) -> None:
        """Opens the books of a locked meter from the period on that contains `since`, cut at those instants, in its account."""

    @abstractmethod
    async def forget(self, meters: Mapping[str, Collection[Meter]]) -> None:
        """Takes the counters of these meters for wrong, so that `lock` rebuilds them."""


class Replies(Repository[ReplyKey, StoredReply]):
    """What was answered under idempotency keys. The commit raises ConcurrentUpdate where a key has been taken meanwhile."""

    def key(self, value: StoredReply) -> ReplyKey:
        return ReplyKey(value.customer_id, value.key)


class Events(Repository[EventKey, EventKey]):
    """The events that are booked. A new one is stored with the usage record that the account books for it."""

    def key(self, value: EventKey) -> EventKey:
        return value


class AccountsUnitOfWork(Protocol):
    """What a transaction over accounts has at least."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def grants(self) -> Grants: ...

    @property
    def outbox(self) -> Outbox: ...


class UnitOfWork(AccountsUnitOfWork, Protocol):
    """One transaction. Leaving it without `commit` undoes everything."""

    @property
    def journal(self) -> Journal:
        """What accounts and repositories of this unit of work did, so that a refused command can be taken back."""

    @property
    def replies(self) -> Replies: ...

    @property
    def reservations(self) -> Reservations: ...

    @property
    def records(self) -> Records: ...

    @property
    def events(self) -> Events: ...

    def repository(self, kind: type[OwnedT]) -> OwnedRepository[OwnedT]:
        """Of a kind of things that is kept just as it is, and so has no port of its own."""

    def decided(self) -> Awaitable[None] | None:
        """A command of the list has been decided; what is answered is to be waited for.

        What is collected so far may be written by then. Nothing stands before the commit.
        """

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class EventTypesUnitOfWork(Protocol):
    """A transaction over the types that events have."""

    @property
    def event_types(self) -> EventTypes: ...

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class EventTypeReader(ABC):
    """The types that events have, as they are mapped now."""

    @abstractmethod
    async def mapped(self) -> Mapping[str, EventType]:
        """By their keys, those that are mapped to features. The name of any other type is that of the feature itself."""


class AccountReader(ABC):
    """Accounts as they stand, locked by nobody."""

    @abstractmethod
    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        """With these features, or with all that the plan meters. Raises CustomerNotFound."""


class PastAccounts(ABC):
    """Accounts as they stood, or will stand, at an instant: by the history of what was agreed, and the ledger itself."""

    @abstractmethod
    async def read(self, customer_id: str, at: datetime, known_at: datetime | None) -> Account:
        """With all that the plan in force meters, and the usage that had occurred in the period by then, the instant included.

        `known_at` leaves out what was recorded later, usage and changes alike. What was set aside is not known of any other moment than
        now, and so is nothing. Raises CustomerNotFound, and NotYetACustomer where nothing was agreed by then.
        """


class ReservationReader(Reader[ReservationKey, Reservation]):
    """Reservations in all their states, newest first by when they were made."""

    missing = ReservationNotFound
    newest_by = "created_at"

    @abstractmethod
    async def newest_in(
        self, customer_id: str, limit: int, before: Position | None, *, state: ReservationState, at: datetime
    ) -> Sequence[Reservation]:
        """As `newest`, those that are in this state at that instant."""


class GrantReader(ABC):
    """Grants, as they stand."""

    @abstractmethod
    async def get(self, key: GrantKey) -> StandingGrant:
        """Raises GrantNotFound."""

    @abstractmethod
    async def newest(
        self, customer_id: str, limit: int, before: Position | None, *, feature: str | None, state: GrantState | None, at: datetime
    ) -> Sequence[StandingGrant]:
        """A page of the customer's own, newest first by when they were made; of one feature, in one state. Raises CustomerNotFound."""

    @abstractmethod
    async def entries(self, key: GrantKey, limit: int, before: Position | None) -> Sequence[GrantEntry]:
        """A page of the grant's entries, newest first by when they count."""


class AlertReader(ABC):
    """What was raised."""

    @abstractmethod
    async def newest(self, customer_id: str, limit: int, before: Position | None, *, feature: str | None) -> Sequence[Alert]:
        """A page of the customer's thresholds that were reached, newest first by when they were raised. Raises CustomerNotFound."""


class LedgerReader(ABC):
    """The ledger's entries."""

    @abstractmethod
    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        """Newest first: by when it occurred, and then by id. Raises CustomerNotFound."""

    @abstractmethod
    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Mapping[str, Breakdown]:
        """By feature, what each dimension contributes within that feature's period, and what is held at `at`: all of one moment."""
