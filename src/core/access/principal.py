"""Who is calling, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from core.access.service_keys import Scope
from core.errors import DomainError
from core.metering.account import CustomerNotFound


class Unauthenticated(DomainError):
    """No credentials, or none that are valid.

    The message tells the owner of a genuine token what is wrong with it. Everybody else learns only that it is not valid.
    """

    def __init__(self, message: str = "Authenticate with a user token or a service key.") -> None:
        super().__init__(message)
        self.message = message


class Forbidden(DomainError):
    """The caller is known, and may not do this."""

    def __init__(self, required: Scope, message: str | None = None) -> None:
        super().__init__(required, message)
        self.required = required
        self.message = message or f"A service key with the scope {required.value!r} is required."

    def facts(self) -> Mapping[str, object]:
        return {"required_scope": self.required.value}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a request speaks for: a user, who is a customer, or a service, which has a scope.

    `name` is what the ledger records: `user:<customer id>`, or `key:` and the key's name (its id, where it has none).
    """

    name: str
    customer_id: str | None = None
    scope: Scope | None = None
    key_id: UUID | None = None

    @classmethod
    def user(cls, customer_id: str) -> "Principal":
        return cls(f"user:{customer_id}", customer_id=customer_id)

    @classmethod
    def service(cls, key_name: str, scope: Scope, key_id: UUID | None = None) -> "Principal":
        return cls(f"key:{key_name}", scope=scope, key_id=key_id)

    @property
    def identity(self) -> str:
        """Tells it from everybody else: two keys may have one name."""
        return self.name if self.key_id is None else f"key:{self.key_id}"

    def require(self, scope: Scope, customer_id: str | None = None) -> None:
        """Raises Forbidden where the principal may not do what takes this scope; perhaps it concerns one customer.

        A user may read what is its own. Another customer's does not exist for it: raises CustomerNotFound.
        """
        if self.customer_id is None:
            allowed = self.scope is not None and self.scope.covers(scope)
        else:
            if customer_id not in (None, self.customer_id):
                raise CustomerNotFound(str(customer_id))
            allowed = customer_id is not None and scope is Scope.READ
        if not allowed:
            raise Forbidden(scope)
