"""What a customer may use: plans, their versions and entitlements."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from core.errors import DomainError, NotFoundError
from core.plans.alerts import ALERTS_DEFAULT, Threshold
from core.plans.options import Option
from core.plans.periods import Reset
from core.plans.rollover import Rollover

OptionT = TypeVar("OptionT", bound=Option)


class PlanNotFound(NotFoundError):
    """No plan has this key."""

    noun = "plan"


class PlanVersionConflict(DomainError):
    """Two publishers wrote the same next version of a plan with different content."""

    def __init__(self, key: str, version: int) -> None:
        super().__init__(key, version)
        self.key, self.version = key, version
        self.message = f"Version {version} of plan {key!r} was published by somebody else at the same time: look at it and push again."

    def facts(self) -> Mapping[str, object]:
        return {"plan": self.key, "plan_version": self.version}


class InvalidPlan(DomainError):
    """A plan that cannot be published: `path` says where in the plan, `expected` what belongs there.

    `undeclared` is the feature that has to be declared first, where that is what is wrong.
    """

    def __init__(self, path: str, expected: str, undeclared: str | None = None) -> None:
        super().__init__(path, expected)
        self.path, self.expected, self.undeclared = path, expected, undeclared
        self.message = f"{path}: {expected}"

    def facts(self) -> Mapping[str, object]:
        return {"path": self.path}


class FeatureConflict(DomainError):
    """A declared feature's unit or resolution would change, and with it the meaning of all that is recorded."""

    def __init__(self, key: str, unit: str, resolution: int) -> None:
        super().__init__(key)
        self.key, self.unit, self.resolution = key, unit, resolution
        self.message = (
            f"Feature {key!r} is declared as {unit!r} with resolution {resolution}, and that never changes: declare a new feature."
        )

    def facts(self) -> Mapping[str, object]:
        return {"feature": self.key, "unit": self.unit, "resolution": self.resolution}


class Enforcement(StrEnum):
    """Whether a limit refuses (hard) or only marks what goes beyond it (soft)."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, slots=True)
class Metered:
    """Usage of a feature is counted and held to `limit`, in smallest parts; None is unlimited.

    `options` is what else it says to the product that the feature belongs to: at most one of a kind, in the order in which the
    products declare them. `alerts` are the thresholds at which somebody is told, the lowest first.
    """

    limit: int | None
    reset: Reset = Reset.BILLING_PERIOD
    enforcement: Enforcement = Enforcement.HARD
    options: tuple[Option, ...] = ()
    rollover: Rollover | None = None
    alerts: tuple[Threshold, ...] = ALERTS_DEFAULT

    def option(self, kind: type[OptionT]) -> OptionT | None:
        """Its option of this kind; None where it has none."""
        return next((option for option in self.options if isinstance(option, kind)), None)


@dataclass(frozen=True, slots=True)
class Static:
    """A number that the plan grants, such as the largest file."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Boolean:
    """A capability that the plan turns on or off."""

    enabled: bool


Entitlement = Metered | Static | Boolean


@dataclass(frozen=True, slots=True)
class Plan:
    """One published version of a plan. It never changes."""

    key: str
    version: int
    name: str
    entitlements: Mapping[str, Entitlement]

    def same_content(self, other: "Plan") -> bool:
        return self.name == other.name and dict(self.entitlements) == dict(other.entitlements)
