"""What a route asks for: the container, and who is calling."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from api.container import Container
from api.errors import AMOUNTS_BY_SERVICES, NO_CREDENTIALS
from api.served import note_customer
from api.wire import CustomerId
from core.access.principal import Forbidden, Principal, Unauthenticated
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
        raise Unauthenticated(NO_CREDENTIALS)
    return await container_of(request).authenticator().authenticate(credential)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and for which customer. `name` is what is recorded; `identity` tells two keys of one name apart."""

    name: str
    customer_id: str
    identity: str


CustomerPath = Annotated[CustomerId, Path(description="the customer's id, chosen by you")]


@dataclass(frozen=True, slots=True, eq=False)
class AccessRule:
    """Who may call a route. A route declares one rule as a dependency, or it is open to everyone.

    What decides each request is also what the OpenAPI document and the tests read, so that they cannot say anything else.
    """

    scope: Scope
    """The least that a service key has to have."""

    @property
    def admits_users(self) -> bool:
        """Whether a user token will do, too, for what is its customer's own."""
        return False


class ServiceOnly(AccessRule):
    """A service key; the route is about no single customer, or about many."""

    async def __call__(self, request: Request) -> Principal:
        who = await principal(request)
        who.require(self.scope)
        return who


class CustomerInPath(AccessRule):
    """A service key; or, to read, a user token of the very customer that the path names."""

    @property
    def admits_users(self) -> bool:
        return self.scope is Scope.READ

    async def __call__(self, request: Request, customer_id: CustomerPath) -> Caller:
        who = await principal(request)
        who.require(self.scope, customer_id)
        note_customer(customer_id)
        return Caller(who.name, customer_id, who.identity)


class CustomerInHeader(AccessRule):
    """A user token; or a service key, with a header that names the customer."""

    @property
    def admits_users(self) -> bool:
        return True

    async def __call__(self, request: Request) -> Caller:
        who = await principal(request)
        if who.customer_id is not None and not self.admits_users:
            raise Forbidden(self.scope, AMOUNTS_BY_SERVICES)
        named = _utf8(request.headers.get(CUSTOMER_HEADER))
        if who.customer_id is not None:
            if named not in (None, who.customer_id):
                raise CustomerNotFound(str(named))
            note_customer(who.customer_id)
            return Caller(who.name, who.customer_id, who.identity)
        who.require(self.scope)
        try:
            customer_id = _CUSTOMER_ID.validate_python(named)
        except ValidationError as error:
            expected = f"with a service key, the header {CUSTOMER_HEADER} names the customer (1 to 255 characters)"
            raise RequestValidationError([{"type": "value_error", "loc": ("header", CUSTOMER_HEADER), "msg": expected}]) from error
        note_customer(customer_id)
        return Caller(who.name, customer_id, who.identity)


class ServiceOfCustomer(CustomerInHeader):
    """A service key alone, with a header that names the customer: for what reports amounts, which no customer may do of its own bill."""

    @property
    def admits_users(self) -> bool:
        return False


def access_rules(route: APIRoute) -> list[AccessRule]:
    """The rules that a route declares: one, or none where it is open to everyone."""
    declared: list[object] = [dependency.call for dependency in route.dependant.dependencies]
    return [rule for rule in declared if isinstance(rule, AccessRule)]


def _utf8(header: str | None) -> str | None:
    """Headers come as Latin-1, whatever was meant; ids are UTF-8."""
    try:
        return header and header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


reader = ServiceOnly(Scope.READ)
writer = ServiceOnly(Scope.WRITE)
admin = ServiceOnly(Scope.ADMIN)

ServiceReader = Annotated[Principal, Depends(reader)]
ServiceWriter = Annotated[Principal, Depends(writer)]
CustomerReader = Annotated[Caller, Depends(CustomerInPath(Scope.READ))]
CustomerWriter = Annotated[Caller, Depends(CustomerInPath(Scope.WRITE))]
CustomerAdmin = Annotated[Caller, Depends(CustomerInPath(Scope.ADMIN))]
ProductReader = Annotated[Caller, Depends(CustomerInHeader(Scope.READ))]
ProductWriter = Annotated[Caller, Depends(CustomerInHeader(Scope.WRITE))]
ProductReporter = Annotated[Caller, Depends(ServiceOfCustomer(Scope.WRITE))]
