"""What a counter is for."""

from typing import NamedTuple


class Meter(NamedTuple):
    """A customer's usage of one feature: it has one counter, one ledger sum, and one limit in each period."""

    customer_id: str
    feature: str
