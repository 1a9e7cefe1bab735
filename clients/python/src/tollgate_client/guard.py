"""Guards for somebody's app: a FastAPI dependency, a decorator for functions and workers, and headers that say what is left.

    tollgate = AsyncTollgate()
    guard = Guard(tollgate, customer=lambda request: request.headers["x-account"])

    @app.get("/export", dependencies=[Depends(guard.require("exports"))])

The refusal becomes the app's own answer, with the service's status, code and facts.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timezone
from typing import Any, ParamSpec, TypeVar, cast

from fastapi import HTTPException, Request

from tollgate_client import errors, models
from tollgate_client._async.client import AsyncTollgate
from tollgate_client._requests import OnOutage, Quantity
from tollgate_client._sync.client import Tollgate

P = ParamSpec("P")
R = TypeVar("R")

Customer = Callable[[Request], str | Awaitable[str]]

_BALANCES = "tollgate_balances"


class Guard:
    """Holds an app's callers to their plans. `customer` says whose plan a request counts towards."""

    def __init__(self, client: AsyncTollgate, customer: Customer, *, on_outage: OnOutage | None = None) -> None:
        self._client = client
        self._customer = customer
        self._on_outage = on_outage

    def require(self, feature: str, quantity: Quantity = 1) -> Callable[[Request], Awaitable[models.Consumed]]:
        """A dependency that books the usage before the route runs, or answers 402, 403 or 429 as the service does."""

        async def consume(request: Request) -> models.Consumed:
            try:
                found = await self._client.consume(await self._who(request), {feature: quantity}, on_outage=self._on_outage)
            except errors.TollgateError as error:
                raise refusal(error) from error
            remember(request.scope, found.balances)
            return found

        return consume

    def require_success(self, feature: str, quantity: Quantity = 1, *, ttl_seconds: int = 60) -> Callable[[Request], AsyncIterator[None]]:
        """As `require`, for work that may fail: it is held while the route runs, and booked only where that does not raise."""

        async def hold(request: Request) -> AsyncIterator[None]:
            reserved = self._client.hold(await self._who(request), {feature: quantity}, ttl_seconds=ttl_seconds)
            try:
                await reserved.__aenter__()
            except errors.TollgateError as error:
                raise refusal(error) from error
            assert reserved.reservation is not None
            remember(request.scope, reserved.reservation.balances)
            try:
                yield
            except BaseException as error:
                await reserved.__aexit__(type(error), error, error.__traceback__)
                raise
            await reserved.__aexit__(None, None, None)

        return hold

    async def _who(self, request: Request) -> str:
        found = self._customer(request)
        return await found if inspect.isawaitable(found) else found


def limited(
    client: AsyncTollgate | Tollgate, feature: str, quantity: Quantity = 1, *, customer: Callable[P, str]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for functions and workers: books the usage, or raises `Refused`, before the function runs.

    `customer` is called with the function's own arguments. An `AsyncTollgate` guards coroutine functions, a `Tollgate` ordinary ones.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(client, AsyncTollgate):
            if not inspect.iscoroutinefunction(function):
                raise TypeError(f"{function.__qualname__} is not a coroutine function: guard it with a Tollgate")
            asynchronous = client

            @functools.wraps(function)
            async def later(*arguments: P.args, **options: P.kwargs) -> Any:
                await asynchronous.consume(customer(*arguments, **options), {feature: quantity})
                return await cast("Awaitable[Any]", function(*arguments, **options))

            return cast("Callable[P, R]", later)
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine function: guard it with an AsyncTollgate")
        synchronous = client

        @functools.wraps(function)
        def now(*arguments: P.args, **options: P.kwargs) -> R:
            synchronous.consume(customer(*arguments, **options), {feature: quantity})
            return function(*arguments, **options)

        return now

    return decorate


def refusal(error: errors.TollgateError) -> HTTPException:
    """The app's own answer: a refusal with its status and facts, 503 where the service is out of reach, and 500 for what is a mistake."""
    headers = {} if error.retry_after is None else {"Retry-After": str(round(error.retry_after))}
    if isinstance(error, errors.Refused):
        return HTTPException(error.status or 403, error.detail, headers)
    if isinstance(error, errors.Unavailable):
        return HTTPException(503, {"error": error.code or "metering_unavailable", "message": "Usage cannot be checked now."}, headers)
    return HTTPException(500, {"error": "metering_failed", "message": "Usage could not be checked."})


def remember(scope: MutableMapping[str, Any], balances: Mapping[str, models.Balance]) -> None:
    """For the headers of this request's answer."""
    scope.setdefault(_BALANCES, {}).update(balances)


class RateLimitHeaders:
    """ASGI middleware: tells what is left of each guarded feature, in the fields RateLimit and RateLimit-Policy of the IETF's draft.

    It asks nothing of the service: it tells what the guards of the same request were answered.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        balances: dict[str, models.Balance] = scope.setdefault(_BALANCES, {})

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            limited = {feature: balance for feature, balance in balances.items() if balance.limit is not None}
            if message["type"] == "http.response.start" and limited:
                policies = [f'"{feature}";q={_whole(balance.limit)}' for feature, balance in limited.items()]
                left = [f'"{feature}";r={_whole(balance.remaining)}{_reset(balance.resets_at)}' for feature, balance in limited.items()]
                told = [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        await self._app(scope, receive, with_headers)


def _whole(amount: Any) -> int:
    return int(amount or 0)


def _reset(at: datetime | None) -> str:
    return "" if at is None else f";t={max(int((at - datetime.now(timezone.utc)).total_seconds()), 0)}"
