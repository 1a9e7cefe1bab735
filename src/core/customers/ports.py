"""What customers ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from types import TracebackType
from typing import Protocol, Self

from core.customers.customer import Customer
from core.metering.repository import Repository
from core.plans.ports import Plans


class Customers(Repository[str, Customer]):
    """Customers, by their ids, inside a unit of work."""

    def key(self, value: Customer) -> str:
        return value.id

    @abstractmethod
    async def lock(self, id: str) -> None:
        """Loads the customer for a change: nobody else changes it before the commit.

        Where it is new, somebody else may create it meanwhile: the commit then raises ConcurrentUpdate.
        """


class CustomersUnitOfWork(Protocol):
    """A transaction over customers and the plans that they are on."""

    @property
    def customers(self) -> Customers: ...

    @property
    def plans(self) -> Plans: ...

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class CustomerReader(ABC):
    """Customers as they stand."""

    @abstractmethod
    async def get(self, id: str) -> Customer:
        """Raises CustomerNotFound."""


class PhoneRegions(ABC):
    """The countries and territories whose phone numbers can be read."""

    @abstractmethod
    def known(self) -> Collection[str]:
        """Their ISO 3166 alpha-2 codes."""
