"""What customers ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from core.customers.customer import Customer
from core.metering.ports import AccountsUnitOfWork
from core.metering.repository import Repository
from core.plans.plan import Plan, PlanNotFound
from core.plans.ports import Plans
from core.plans.terms import TermsChange

TermsKey = tuple[str, UUID]
"""A customer's id, and that of an entry of its history."""


class Customers(Repository[str, Customer]):
    """Customers, by their ids, inside a unit of work."""

    def key(self, value: Customer) -> str:
        return value.id

    @abstractmethod
    async def lock(self, id: str) -> None:
        """Loads the customer for a change: nobody else changes it before the commit.

        Where it is new, somebody else may create it meanwhile: the commit then raises ConcurrentUpdate.
        """

    @abstractmethod
    async def require_gone(self, id: str) -> None:
        """Raises CustomerBeingDeleted where something is left of a customer of this id that was deleted."""


class TermsChanges(Repository[TermsKey, TermsChange]):
    """The entries of customers' histories inside a unit of work. Whoever writes one has its customer locked."""

    def key(self, value: TermsChange) -> TermsKey:
        return value.customer_id, value.id


class CustomersUnitOfWork(AccountsUnitOfWork, Protocol):
    """A transaction over customers, what was agreed with them, and the plans that they are on."""

    @property
    def customers(self) -> Customers: ...

    @property
    def terms(self) -> TermsChanges: ...

    @property
    def plans(self) -> Plans: ...

    async def flush(self) -> None:
        """Writes what was saved so far, without committing it: accounts that are locked from now on are seen under these terms."""

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerQuery:
    """Which customers: those whose id or email has `text` in it, whatever the case; on this plan at `at`, and this version of it."""

    at: datetime
    limit: int
    text: str | None = None
    plan: str | None = None
    plan_version: int | None = None
    before: tuple[datetime, str] | None = None


class CustomerReader(ABC):
    """Customers as they stand."""

    @abstractmethod
    async def get(self, id: str) -> Customer:
        """Raises CustomerNotFound."""

    @abstractmethod
    async def newest(self, query: CustomerQuery) -> Sequence[Customer]:
        """A page of them, newest first by when they were created: those that come after `before`."""

    @abstractmethod
    async def on_older_version(self, plan: str, than: int, after: str, limit: int) -> Sequence[Customer]:
        """Customers that are stored on a version of the plan older than that, by their ids, those after `after`."""


class TermsReader(ABC):
    """What was agreed with customers, as it stands."""

    @abstractmethod
    async def history(self, customer_id: str) -> Sequence[TermsChange]:
        """All entries of the customer's history, those that were called off too, in no order. Raises CustomerNotFound."""


async def newest_plan(plans: Plans, key: str) -> Plan:
    """The plan's newest version. Raises PlanNotFound."""
    plan = await plans.latest(key)
    if plan is None:
        raise PlanNotFound(key)
    return plan


class PhoneRegions(ABC):
    """The countries and territories whose phone numbers can be read."""

    @abstractmethod
    def known(self) -> Collection[str]:
        """Their ISO 3166 alpha-2 codes."""
