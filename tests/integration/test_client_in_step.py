"""The Python client and the OpenAPI document say the same: operations, fields, and which of them may be null."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from tests.integration.service import Service
from tollgate_client import _requests as requests
from tollgate_client._requests import Operation

OPERATIONS = {name: value for name, value in vars(requests).items() if isinstance(value, Operation)}

LEFT_OUT = {
    "budget": "a reference product's",
    "conversations": "a reference product's",
    "messages": "a reference product's",
    "learning-plans": "a reference product's",
    "practice-sessions": "a reference product's",
    "assessments": "a reference product's",
    "subscription-status": "a reference product's",
    "operations": "a reference product's",
    "sessions": "a reference product's",
    "uploads": "a reference product's",
    "/api/v1/customers/{customer_id}/export": "for operators: it is streamed into a file",
    "keys": "for operators",
    "healthz": "for probes",
    "readyz": "for probes",
    "metrics": "for Prometheus",
}
"""What the client leaves out, by the first part of the path, or by all of it. Anything new has to be taken in, or to be named here."""


@pytest.fixture(scope="module")
def document(services: tuple[Service, Service]) -> dict[str, Any]:
    found: dict[str, Any] = services[0].anyone.get("/openapi.json").json()
    return found


def test_every_operation_has_its_route(document: dict[str, Any]) -> None:
    for name, operation in OPERATIONS.items():
        assert operation.method.lower() in document["paths"].get(operation.path, {}), f"{name}: {operation.method} {operation.path}"


def test_every_route_has_its_operation_or_is_left_out(document: dict[str, Any]) -> None:
    known = {(operation.method.lower(), operation.path) for operation in OPERATIONS.values()}
    for path, methods in document["paths"].items():
        first = path.removeprefix("/api/v1").strip("/").split("/")[0]
        for method in methods:
            assert (method, path) in known or {path, first} & LEFT_OUT.keys(), f"the client lacks {method.upper()} {path}"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_what_is_answered_has_the_documents_fields(document: dict[str, Any], name: str) -> None:
    operation = OPERATIONS[name]
    responses = document["paths"][operation.path][operation.method.lower()]["responses"]
    if operation.answer is None:
        assert "204" in responses
    elif operation.answer is not Any:
        told = [answer for status, answer in responses.items() if status.startswith("2")]
        schema = told[0]["content"]["application/json"]["schema"]
        differences = list(different(operation.answer, schema, document["components"]["schemas"], name))
        assert differences == []


def different(kind: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> Iterator[str]:
    """Where the client's type and the document's schema differ, as lines."""
    schema = resolved(schema, schemas)
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    options = [resolved(option, schemas) for option in schema.get("anyOf", [schema])]
    nullable = any(option.get("type") == "null" for option in options)
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        if nullable != (type(None) in get_args(kind)):
            yield f"{where}: null in one of them only"
        if any(isinstance(member, type) and issubclass(member, BaseModel) for member in members) and len(members) > 1:
            objects = {frozenset(option["properties"]) for option in options if "properties" in option}
            if {frozenset(member.model_fields) for member in members} != objects:
                yield f"{where}: other alternatives"
            return
        kind = members[0]
    elif nullable:
        yield f"{where}: may be null"
    options = [option for option in options if option.get("type") != "null"]
    if get_origin(kind) is list:
        yield from different(get_args(kind)[0], options[0]["items"], schemas, f"{where}[]")
    elif get_origin(kind) is dict and "additionalProperties" in options[0] and where.split(".")[-1] in ("balances", "features"):
        yield from different(get_args(kind)[1], options[0]["additionalProperties"], schemas, f"{where}[*]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        ours = set(kind.model_fields)
        theirs = set(options[0]["properties"])
        if ours != theirs:
            yield f"{where}: {sorted(ours - theirs)} are the client's only, {sorted(theirs - ours)} the document's only"
        for field in ours & theirs:
            yield from different(kind.model_fields[field].annotation, options[0]["properties"][field], schemas, f"{where}.{field}")


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found
