"""What histories ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

from core.history.explanation import Facts
from core.metering.ledger import Share
from core.plans.periods import Period


class Granted(NamedTuple):
    """What grants did within one interval: how much usage they paid for, and what those active at its end had left then."""

    burnt: int
    left: int


class Sums(NamedTuple):
    """One feature's usage between one instant and the next: for each interval what each dimension contributes, and what grants did.

    Without dimensions, all usage of an interval is one share of dimension None. `granted` is empty where the feature has no grants.
    """

    shares: Sequence[Sequence[Share]]
    granted: Sequence[Granted]


class UsageSums(ABC):
    """Sums of the ledger over many intervals, by when the usage occurred."""

    @abstractmethod
    async def features(self, customer_id: str) -> AbstractSet[str]:
        """The features of which anything was ever booked for the customer."""

    @abstractmethod
    async def between(
        self, customer_id: str, cuts: Mapping[str, Sequence[datetime]], *, now: datetime, by_dimension: bool = False
    ) -> Mapping[str, Sums]:
        """By feature, the sums between its cuts, two or more in ascending order: from each one on, until before the next.

        `now` stands for the end of an interval that has not ended, where it matters what grants have left.
        All of it is of one moment: what is committed before the question is in it, corrections and late records included.
        """


class UsageFacts(ABC):
    """What a decision was made of: ledger entries, holds, and what was burnt of grants."""

    @abstractmethod
    async def read(self, customer_id: str, periods: Mapping[str, Period], at: datetime, *, as_known_then: bool) -> Mapping[str, Facts]:
        """By feature, what had occurred within its period by `at`, the instant included, and what was held then: all of one moment.

        `as_known_then` leaves out what was recorded later, and holds that were made later or had ended by then; otherwise `at` is now,
        and entries that are dated ahead count too. Of a hold that has ended since, all that was asked for counts: what had been drawn
        from it by then is not kept. Grants are listed whether anything was burnt of them or not, in the order of their ids.
        """
