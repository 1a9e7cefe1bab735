"""Who is metered."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from core.plans.agreement import NO_AGREEMENT, Agreement, PlanVersion
from core.plans.periods import Billing


@dataclass(frozen=True, slots=True)
class Customer:
    """The party that is billed and limited: on one version of a plan, with a calendar of its own.

    `phone_region` (ISO 3166 alpha-2) says how phone numbers without a country code are read; `email` is where it is written to, and
    `locale` (a language tag) how. None: nobody has said.
    """

    id: str
    plan_key: str
    plan_version: int
    billing: Billing
    phone_region: str | None = None
    agreement: Agreement = NO_AGREEMENT
    email: str | None = field(kw_only=True, default=None)
    locale: str | None = field(kw_only=True, default=None)
    created_at: datetime = field(kw_only=True)
    updated_at: datetime = field(kw_only=True)

    @property
    def plan(self) -> PlanVersion:
        return self.plan_key, self.plan_version

    def on(self, plan: PlanVersion) -> "Customer":
        """The same on this version of a plan."""
        key, version = plan
        return replace(self, plan_key=key, plan_version=version)

    def at(self, now: datetime) -> "Customer":
        """As the clock has it: on the plan that a scheduled change has put in force, without overrides that have ended."""
        if not self.agreement:
            return self
        due = self.agreement.due(now)
        return replace(self.on(due) if due else self, agreement=self.agreement.at(now))

    def not_before(self, now: datetime) -> datetime:
        """When a change of it takes place that some process makes now: clocks differ, and no change comes before the one it builds on."""
        return max(now, self.updated_at)
