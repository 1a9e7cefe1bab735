"""What the plan catalogue asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from core.plans.agreement import Agreement, PlanVersion
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.plan import Plan


class PlanReader(ABC):
    """Published plans and declared features, which are never changed, only added; and what is done of each feature on an outage."""

    @abstractmethod
    async def latest(self, key: str) -> Plan | None:
        """The newest version."""

    @abstractmethod
    async def all_latest(self) -> Sequence[Plan]:
        """The newest version of every plan, by key."""

    @abstractmethod
    async def applying(self, version: PlanVersion, agreement: Agreement) -> Plan:
        """What applies to a customer on this version, which exists, with what is agreed beside it and holds now."""

    @abstractmethod
    async def features(self) -> FeatureCatalog:
        """All declared features, the products' own included."""

    @abstractmethod
    async def on_outage(self) -> Mapping[str, OnOutage]:
        """By feature, what was chosen for it; the others are refused."""


class Plans(PlanReader):
    """The same inside a unit of work, which can add to it."""

    @abstractmethod
    async def publish(self, plan: Plan) -> None:
        """Adds a version. Raises PlanVersionConflict where that version exists."""

    @abstractmethod
    async def declare(self, feature: Feature) -> Feature:
        """Adds the feature, or returns the one that is declared under its key."""

    @abstractmethod
    async def choose(self, feature: str, on_outage: OnOutage) -> None:
        """Puts this choice in the place of the last one."""


class PlansUnitOfWork(Protocol):
    """A transaction over the plan catalogue."""

    @property
    def plans(self) -> Plans: ...

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
