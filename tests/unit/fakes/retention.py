"""An option that no product of ours declares: how long something of a feature is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.plans.options import Choice, Option, WholeNumber


class Where(StrEnum):
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Retention(Option):
    days: int = 30
    where: Where = Where.WARM

    name = "retention"
    features = ("storage", "backups")
    parts = (
        WholeNumber("days", 30, smallest=1, largest=90, meaning="how long"),
        Choice("where", Where.WARM, meaning="on what"),
    )
    meaning = "How long things are kept."
    shape = "a retention such as {days: 30}"
    only = "only storage and backups are kept"
    absent = "30 days"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Retention":
        return cls(values["days"], Where(values["where"]))

    def to_json(self) -> dict[str, int | str | bool | None]:
        return {"days": self.days, "where": self.where.value}

    def __str__(self) -> str:
        return f"{self.days} days, {self.where}"
