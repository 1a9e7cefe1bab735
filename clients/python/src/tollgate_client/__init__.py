"""The client of Tollgate, a metering and plan-limit service.

async with AsyncTollgate("http://127.0.0.1:8000", key) as tollgate:
    await tollgate.consume("acme", api_calls=1)
"""

from tollgate_client import errors, models
from tollgate_client._async.client import AsyncTollgate
from tollgate_client._async.holds import Hold as AsyncHold
from tollgate_client._async.leases import Lease as AsyncLease
from tollgate_client._sync.client import Tollgate
from tollgate_client._sync.holds import Hold
from tollgate_client._sync.leases import Lease
from tollgate_client.errors import (
    Closed,
    Conflict,
    Denied,
    Invalid,
    LimitExceeded,
    NotFound,
    NotInPlan,
    Refused,
    ServiceFailed,
    TollgateError,
    Unavailable,
)

__all__ = [
    "AsyncHold",
    "AsyncLease",
    "AsyncTollgate",
    "Closed",
    "Conflict",
    "Denied",
    "Hold",
    "Invalid",
    "Lease",
    "LimitExceeded",
    "NotFound",
    "NotInPlan",
    "Refused",
    "ServiceFailed",
    "Tollgate",
    "TollgateError",
    "Unavailable",
    "errors",
    "models",
]
