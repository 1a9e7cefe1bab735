"""Who is metered."""

from dataclasses import dataclass, field
from datetime import datetime

from core.plans.periods import Billing


@dataclass(frozen=True, slots=True)
class Customer:
    """The party that is billed and limited: on one version of a plan, with a calendar of its own.

    `phone_region` (ISO 3166 alpha-2) says how phone numbers without a country code are read.
    """

    id: str
    plan_key: str
    plan_version: int
    billing: Billing
    phone_region: str | None = None
    created_at: datetime = field(kw_only=True)
    updated_at: datetime = field(kw_only=True)
