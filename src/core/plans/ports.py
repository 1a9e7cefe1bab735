"""What the plan catalogue asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from core.plans.features import Feature, FeatureCatalog
from core.plans.plan import Plan


class PlanRepository(ABC):
    """Published plans and declared features. Nothing here is ever changed, only added."""

    @abstractmethod
    async def latest(self, key: str) -> Plan | None:
        """The newest version."""

    @abstractmethod
    async def all_latest(self) -> Sequence[Plan]:
        """The newest version of every plan, by key."""

    @abstractmethod
    async def publish(self, plan: Plan) -> None:
        """Adds a version. Raises PlanVersionConflict where that version exists."""

    @abstractmethod
    async def declare(self, feature: Feature) -> Feature:
        """Adds the feature, or returns the one that is declared under its key."""

    @abstractmethod
    async def features(self) -> FeatureCatalog:
        """All declared features, the built-in ones included."""
