"""What a feature's usage is taken from: the allowance of the period and the grants beside it, in the order in which they burn."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.plans.periods import Period


class Source(NamedTuple):
    """Something that usage is taken from, and how much of it is left, in smallest parts.

    `grant` of None is the allowance, `left` of None an unlimited one. `expires_at` of None never expires.
    """

    grant: UUID | None
    left: int | None
    expires_at: datetime | None


class Burn(NamedTuple):
    """So much was taken from a grant, and so much is left of it."""

    grant: UUID
    quantity: int
    left: int


class Funds(NamedTuple):
    """Where one metered feature stands in its current period, for a customer that has, or had, more than the allowance.

    What was used is `allowance_used` (of the allowance), `burnt` (of grants) and `uncovered` (of nothing: the overage). `sources` are
    in the order of burning, which is the same for all usage within `since <= t < until`, unless something else is agreed with the
    customer than what was agreed last, at `agreed_at`.
    """

    allowance: int | None
    sources: tuple[Source, ...]
    since: datetime
    until: datetime
    agreed_at: datetime
    allowance_used: int = 0
    burnt: int = 0
    uncovered: int = 0

    @property
    def granted(self) -> int:
        """What the active grants have left."""
        total = 0
        for grant, left, _ in self.sources:
            if grant is not None and left is not None:
                total += left
        return total

    @property
    def limit(self) -> int | None:
        """What may be used in all, now; None where the allowance is unlimited."""
        if self.allowance is None:
            return None
        return max(self.allowance, self.allowance_used) + self.burnt + self.granted

    def burn(self, quantity: int) -> "Funds":
        """After so much usage more, which is at least nothing: what no source covers is uncovered. The limit stays the same."""
        allowance, sources, since, until, agreed_at, allowance_used, burnt, uncovered = self
        after = list(sources)
        for index, (grant, left, expires_at) in enumerate(sources):
            if quantity == 0:
                break
            taken = quantity if left is None else min(quantity, left)
            if grant is None:
                allowance_used += taken
            else:
                burnt += taken
            quantity -= taken
            if left:
                after[index] = Source(grant, left - taken, expires_at)
        return Funds(allowance, tuple(after), since, until, agreed_at, allowance_used, burnt, uncovered + quantity)

    def burns(self, after: "Funds") -> Iterator[Burn]:
        """What these grants lost until they came to `after`, by `burn` alone."""
        for before, source in zip(self.sources, after.sources, strict=True):
            if source.grant is not None and before.left != source.left:
                left = source.left or 0
                yield Burn(source.grant, (before.left or 0) - left, left)

    def outliving(self, instant: datetime) -> "Funds":
        """Without the grants that expire before then. The allowance stays: the next period has one too."""
        kept = (source for source in self.sources if source.grant is None or source.expires_at is None or source.expires_at >= instant)
        return self._replace(sources=tuple(kept))

    def renewed(self, allowance: int | None, period: Period, at: datetime) -> "Funds":
        """With the whole allowance of another period, and what grants have left, as far as they have not expired."""
        rest = (source for source in self.sources if source.grant is not None and (source.expires_at is None or source.expires_at > at))
        return Funds(allowance, (Source(None, allowance, period.resets_at), *rest), period.start, period.end, self.agreed_at)

    def covers(self, quantity: int) -> bool:
        """Whether so much usage more would leave nothing uncovered."""
        left = 0
        for source in self.sources:
            if source.left is None:
                return True
            left += source.left
        return quantity <= left


def sums(funds: Funds) -> tuple[int | None, int, int, int, int]:
    """What two funds have in common where they say the same of what was used, whenever they were looked at."""
    return funds.allowance, funds.allowance_used, funds.burnt, funds.uncovered, funds.granted
