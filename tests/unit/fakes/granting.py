"""A customer whose plan grants features of a product's own."""

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from core.metering.owned import Owned
from core.plans.features import Feature
from core.plans.plan import Metered, Plan
from tests.unit.fakes.examples import ACME, NOW, PERIOD
from tests.unit.fakes.metering import FakeStore

V = TypeVar("V", bound=Owned)


class GrantingStore(FakeStore):
    """What is committed. `acme` has a plan with these limits, by feature, in units; None is unlimited."""

    def __init__(self, **limits: int | None) -> None:
        plan = Plan("granting", 1, "Granting", {feature: Metered(limit) for feature, limit in limits.items()})
        customer = replace(ACME, plan_key=plan.key, plan_version=plan.version)
        super().__init__([plan], [customer], [Feature(feature, "unit") for feature in limits])

    def clock(self) -> datetime:
        return NOW

    def kept(self, kind: type[V]) -> list[V]:
        """The things of this kind that are kept."""
        return list(self.owned.get(kind, {}).values())

    def used(self, feature: str) -> int:
        """What the ledger says that `acme` has used in its billing period."""
        return self.used_within(ACME.id, feature, PERIOD)
