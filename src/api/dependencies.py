"""What a route asks for: the container, and who is calling."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from api.container import Container
from api.wire import CustomerId
from core.access.principal import Principal, Unauthenticated
from core.access.service_keys import Scope
from core.metering.account import CustomerNotFound

CUSTOMER_HEADER: Final = "Tollgate-Customer"

_CUSTOMER_ID: Final = TypeAdapter[str](CustomerId)


def container_of(request: Request) -> Container:
    """The container that the app was made with. No dependency of FastAPI's: resolving one takes it longer than this."""
    container: Container = request.app.state.container
    return container


async def principal(request: Request) -> Principal:
    """Whoever holds the request's bearer credential. Raises Unauthenticated."""
    kind, _, credential = request.headers.get("authorization", "").partition(" ")
    credential = credential.strip()
    if kind.lower() != "bearer" or not credential:
        raise Unauthenticated
    return await container_of(request).authenticator().authenticate(credential)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and for which customer."""

    name: str
    customer_id: str


CustomerPath = Annotated[CustomerId, Path(description="the customer's id, chosen by you")]


async def customer_reader(request: Request, customer_id: CustomerPath) -> Caller:
    """A user token of this very customer, or a service key of any scope."""
    return await _of_customer(request, customer_id, Scope.READ)


async def customer_writer(request: Request, customer_id: CustomerPath) -> Caller:
    """A service key that may book usage."""
    return await _of_customer(request, customer_id, Scope.WRITE)


async def customer_admin(request: Request, customer_id: CustomerPath) -> Caller:
    """A service key that may do everything."""
    return await _of_customer(request, customer_id, Scope.ADMIN)


async def _of_customer(request: Request, customer_id: str, scope: Scope) -> Caller:
    who = await principal(request)
    who.require(scope, customer_id)
    return Caller(who.name, customer_id)


async def reader(request: Request) -> Principal:
    """A service key of any scope."""
    return await _service(request, Scope.READ)


async def writer(request: Request) -> Principal:
    """A service key that may book usage."""
    return await _service(request, Scope.WRITE)


async def admin(request: Request) -> Principal:
    """A service key that may do everything."""
    return await _service(request, Scope.ADMIN)


async def _service(request: Request, scope: Scope) -> Principal:
    who = await principal(request)
    who.require(scope)
    return who


async def product_reader(request: Request) -> Caller:
    """A user token, or a service key with a customer named in the header."""
    return await _for_product(request, Scope.READ)


async def product_writer(request: Request) -> Caller:
    """A user token, or a service key that may book usage, with a customer named in the header."""
    return await _for_product(request, Scope.WRITE)


async def _for_product(request: Request, scope: Scope) -> Caller:
    who = await principal(request)
    if who.customer_id is not None:
        named = _utf8(request.headers.get(CUSTOMER_HEADER))
        if named not in (None, who.customer_id):
            raise CustomerNotFound(str(named))
        return Caller(who.name, who.customer_id)
    who.require(scope)
    try:
        return Caller(who.name, _CUSTOMER_ID.validate_python(_utf8(request.headers.get(CUSTOMER_HEADER))))
    except ValidationError as error:
        expected = f"with a service key, the header {CUSTOMER_HEADER} names the customer (1 to 255 characters)"
        raise RequestValidationError([{"type": "value_error", "loc": ("header", CUSTOMER_HEADER), "msg": expected}]) from error


def _utf8(header: str | None) -> str | None:
    """Headers come as Latin-1, whatever was meant; ids are UTF-8."""
    try:
        return header and header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


CustomerReader = Annotated[Caller, Depends(customer_reader)]
CustomerWriter = Annotated[Caller, Depends(customer_writer)]
CustomerAdmin = Annotated[Caller, Depends(customer_admin)]
ProductReader = Annotated[Caller, Depends(product_reader)]
ProductWriter = Annotated[Caller, Depends(product_writer)]
