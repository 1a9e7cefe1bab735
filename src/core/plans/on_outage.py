"""What becomes of usage of a feature while the database is away."""

from enum import StrEnum


class OnOutage(StrEnum):
    """The operator's choice, by feature; one that was never chosen for is refused.

    `refuse`: nothing is admitted that is not booked. `admit`: what fits into the last known balance is admitted, and booked later.
    """

    REFUSE = "refuse"
    ADMIT = "admit"
