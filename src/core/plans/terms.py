"""What was, is and will be agreed with a customer: every change is kept, and the terms of any instant follow from them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from core.plans.agreement import NO_AGREEMENT, Addon, Agreement, Override, PlanVersion
from core.plans.periods import Billing


@dataclass(frozen=True, slots=True)
class Terms:
    """A customer's plan, calendar, overrides and add-ons, as they are in force at one instant."""

    plan: PlanVersion
    billing: Billing
    agreement: Agreement = NO_AGREEMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsChange:
    """Something that was agreed, as one entry: what it does not name stays as it was.

    `effective_at` may lie ahead. A change that has been called off before it took effect is kept, with when and by whom. An override
    that is removed is one that ends as it begins; an add-on that is removed has a quantity of nothing.
    """

    id: UUID
    customer_id: str
    effective_at: datetime
    recorded_at: datetime
    recorded_by: str
    reason: str | None = None
    plan: PlanVersion | None = None
    billing: Billing | None = None
    override: Override | None = None
    addon: Addon | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    def counts(self, known_at: datetime | None = None) -> bool:
        """Whether it is in force from its time on, as far as was known then (None: by now)."""
        if known_at is None:
            return self.withdrawn_at is None
        return self.recorded_at <= known_at and (self.withdrawn_at is None or known_at < self.withdrawn_at)

    def applied(self, terms: Terms | None) -> Terms | None:
        """The terms after it. What comes before the first plan and calendar is no terms yet."""
        if terms is None:
            return Terms(self.plan, self.billing) if self.plan and self.billing else None
        agreement = terms.agreement
        if self.override is not None:
            agreement = agreement.overriding(self.override)
        if self.addon is not None:
            agreement = agreement.adding(self.addon)
        return Terms(self.plan or terms.plan, self.billing or terms.billing, agreement)


@dataclass(frozen=True, slots=True)
class TermsHistory:
    """One customer's changes, in the order in which they take effect."""

    changes: Sequence[TermsChange]

    @classmethod
    def of(cls, changes: Iterable[TermsChange], known_at: datetime | None = None) -> "TermsHistory":
        """Those that count, as far as was known at `known_at`."""
        counting = (change for change in changes if change.counts(known_at))
        return cls(sorted(counting, key=lambda change: (change.effective_at, change.id)))

    def at(self, instant: datetime) -> Terms | None:
        """The terms in force at the instant, past or ahead; None before there were any."""
        terms: Terms | None = None
        for change in self.changes:
            if change.effective_at > instant:
                break
            terms = change.applied(terms)
        if terms is None:
            return None
        return replace(terms, agreement=terms.agreement.at(instant))

    @property
    def first(self) -> Terms:
        """The terms that it begins with."""
        return next(terms for _, terms in self.steps())

    @property
    def begins(self) -> datetime:
        """When there were terms for the first time."""
        return next(change.effective_at for change, _ in self.steps())

    def steps(self) -> Iterator[tuple[TermsChange, Terms]]:
        """Each change with the terms that it leads to, in the order in which they take effect."""
        terms: Terms | None = None
        for change in self.changes:
            terms = change.applied(terms)
            if terms is not None:
                terms = replace(terms, agreement=terms.agreement.at(change.effective_at))
                yield change, terms

    @property
    def instants(self) -> set[datetime]:
        """When the terms may change: a change takes effect, or an override ends."""
        instants = {change.effective_at for change in self.changes}
        return instants | {change.override.until for change in self.changes if change.override and change.override.until}

    def turns(self, start: datetime, end: datetime) -> list[datetime]:
        """Those of these instants that lie within `start < t < end`, in order."""
        return sorted(instant for instant in self.instants if start < instant < end)
