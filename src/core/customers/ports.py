"""What customers ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime

from core.customers.customer import Customer


class Customers(ABC):
    """The customers that are known."""

    @abstractmethod
    async def get(self, id: str) -> Customer:
        """Raises CustomerNotFound."""

    @abstractmethod
    async def put(self, value: Customer, at: datetime) -> bool:
        """Creates or replaces; true where it was created."""

    @abstractmethod
    async def change(self, id: str, change: Callable[[Customer], Customer], at: datetime) -> Customer:
        """Replaces a customer by what `change` makes of it, with nobody in between. Raises CustomerNotFound."""
