"""What the OpenAPI document says beyond the routes themselves: every refusal an operation can answer, with its body."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.dependencies import CUSTOMER_HEADER, AccessRule, CustomerInHeader, CustomerInPath, access_rules
from api.errors import LIMITS, TABLE
from api.replies import KEY_LENGTH_MAX
from core.metering.owned import OwnedNotFound

_STATUS_OF: Final[Mapping[str, int]] = {
    **{told.code: told.status for told in TABLE.values()},
    **{limit.code: limit.status for limit in LIMITS.values()},
    "bad_request": 400,
    "request_too_large": 413,
}
_ALWAYS: Final = ("unauthenticated", "forbidden", "identity_provider_unavailable", "storage_unavailable", "overloaded")

DESCRIPTION: Final = """Check and book usage in one durable transaction, per billing period.

Errors are `{"detail": {"error": CODE, "message": TEXT, …facts}}`; structural mistakes in a request are FastAPI's list form."""


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that can answer these error codes, besides those that follow from who may call it, and how."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[_status_of(code)].append(code)
    return {status: _refusal(sorted(set(found))) for status, found in sorted(by_status.items())}


def _status_of(code: str) -> int:
    """KeyError where no refusal has this code. What is kept just as it is has no entry of its own: its code is made from its name."""
    of_its_name = code not in _STATUS_OF and code.endswith("_not_found")
    return TABLE[OwnedNotFound].status if of_its_name else _STATUS_OF[code]


def _refusal(codes: list[str]) -> dict[str, Any]:
    examples = {code: {"value": {"detail": {"error": code, "message": "…"}}} for code in codes}
    schema = {"$ref": "#/components/schemas/Refusal"}
    mistakes = {"$ref": "#/components/schemas/HTTPValidationError"}
    content = {"schema": {"anyOf": [schema, mistakes]} if _status_of(codes[0]) == 422 else schema, "examples": examples}
    return {"description": ", ".join(f"`{code}`" for code in codes), "content": {"application/json": content}}


_REFUSAL_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
            "additionalProperties": True,
        }
    },
}

_IDEMPOTENCY_KEY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeat with the same key and input gets the stored answer, with the header Idempotency-Replayed: true.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"},
}

_CUSTOMER: Final[Mapping[str, Any]] = {
    "name": CUSTOMER_HEADER,
    "in": "header",
    "required": False,
    "description": "With a service key: the id of the customer. A user token names its own customer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_NAMED_CUSTOMER: Final[Mapping[str, Any]] = {**_CUSTOMER, "required": True, "description": "The customer that is meant."}

_VALIDATION: Final[Mapping[str, Any]] = {
    "description": "Validation Error",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
}


def install(app: FastAPI, schemas: Mapping[str, Any]) -> None:
    """Adds to the generated document what FastAPI does not: what follows from access rules, the form of refusals, further schemas."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, schemas)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, schemas: Mapping[str, Any]) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas, Refusal=_REFUSAL_SCHEMA)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "a user token (JWT) or a service key (tg_…)"},
        "service_key": {"type": "http", "scheme": "bearer", "description": "a service key (tg_…); user tokens are refused"},
    }
    for route in app.routes:
        if isinstance(route, APIRoute):
            for rule, method in product(access_rules(route), route.methods or ()):
                _add_access(schema["paths"][route.path_format][method.lower()], rule, method)
    return schema


def _add_access(operation: dict[str, Any], rule: AccessRule, method: str) -> None:
    """What follows from the rule that the operation's route declares, and from its method."""
    operation["security"] = [{"bearer" if rule.admits_users else "service_key": []}]
    _add_refusals(operation, *_ALWAYS)
    if "requestBody" in operation:
        _add_refusals(operation, "bad_request", "request_too_large", "unsupported_media_type")
    if isinstance(rule, CustomerInHeader):
        operation.setdefault("parameters", []).append(_CUSTOMER if rule.admits_users else _NAMED_CUSTOMER)
        operation["responses"].setdefault("422", _VALIDATION)
    if isinstance(rule, CustomerInHeader | CustomerInPath):
        _add_refusals(operation, "customer_not_found")
    if method == "POST":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        _add_refusals(operation, "idempotency_key_reused")


def _add_refusals(operation: dict[str, Any], *codes: str) -> None:
    for code in codes:
        status = str(_status_of(code))
        described = operation["responses"].get(status, {}).get("content", {}).get("application/json", {}).get("examples", {})
        operation["responses"][status] = _refusal(sorted({*described, code}))
