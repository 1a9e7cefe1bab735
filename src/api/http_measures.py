"""What a process measures of the requests that it answers, for Prometheus. Labels have few values: templates of paths, and no customers."""

from collections import Counter as Count
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from prometheus_client import Counter, Histogram

from api.served import Served

REQUESTS: Final = Counter(
    "tollgate_http_requests", "Requests that were answered; status 0: the caller had left.", ("method", "route", "status")
)
SECONDS: Final = Histogram(
    "tollgate_http_request_seconds",
    "From a request's head to the end of its answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS: Final = Counter("tollgate_refusals", "Requests that were refused, by the error's code.", ("error",))


def measure(answered: Sequence[Served]) -> None:
    """Counts them."""
    for (method, route, status), count in Count((served.method, served.route, served.status) for served in answered).items():
        REQUESTS.labels(method, route, status).inc(count)
    refused = Count(served.outcome for served in answered if served.status >= HTTPStatus.BAD_REQUEST)
    for outcome, count in refused.items():
        REFUSALS.labels(outcome).inc(count)
    for served in answered:
        SECONDS.observe(served.seconds)
