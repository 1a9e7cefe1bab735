"""Requests to every route of the service, generated from its own OpenAPI document: well-formed ones, and ones with a mistake somewhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.unit.api.frame.exchange import Exchange

CREDENTIALS = ("Bearer admin", "Bearer write", "Bearer read", "Bearer user", "Bearer nobody", "Basic admin", "Bearer", "")
UUID = "018f0000-0000-7000-8000-000000000000"
SEGMENTS = ("a b", "é", "a/b", "", UUID, "\x00", "x" * 300, "null", "?", "#", "%")
TEXTS = ("0", "1", "-1", "true", "0.02", "2026-11-01T00:00:00Z", "x" * 300, "\x00", "a", "", "null", "9" * 400)
TYPES = (None, "", "text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json", "a/b/c")

oddities: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=[]), max_size=5),
    st.sampled_from(["x" * 20_000, 10**400, [], {}, [None], {"a": 1}, [1] * 30, {str(number): number for number in range(30)}]),
)


@dataclass(frozen=True)
class Operation:
    """One of the document's; `schemas` are those that it refers to."""

    method: str
    path: str
    described: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self, place: str) -> list[Mapping[str, Any]]:
        return [item for item in self.described.get("parameters", ()) if item["in"] == place]


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    schemas = document["components"]["schemas"]
    return [Operation(method.upper(), path, item[method], schemas) for path, item in document["paths"].items() for method in item]


def well_formed(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of this form, or nearly: what a domain rule or a pattern asks for beyond it may be missed."""
    match schema:
        case {"$ref": name}:
            return well_formed(schemas[name.rpartition("/")[2]], schemas)
        case {"examples": [*values]} | {"enum": [*values]}:
            return st.sampled_from(values)
        case {"const": value}:
            return st.just(value)
        case {"anyOf": [*forms]} | {"oneOf": [*forms]}:
            return st.one_of([well_formed(form, schemas) for form in forms])
        case {"type": "array", "items": items}:
            return st.lists(well_formed(items, schemas), min_size=1, max_size=3)
        case {"type": "object", "additionalProperties": dict(form)}:
            return st.dictionaries(st.sampled_from(["sessions", "exports"]), well_formed(form, schemas), max_size=2)
        case {"type": "object"}:
            fields = {name: well_formed(form, schemas) for name, form in schema.get("properties", {}).items()}
            required = {name: fields.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=fields)
        case {"format": "date-time"}:
            return st.sampled_from(["2026-11-01T00:00:00Z", "2026-11-20T12:00:00+02:00"])
    simple = {"string": st.sampled_from(["word", "en-US"]), "boolean": st.booleans(), "null": st.none(), "number": st.floats(0, 9)}
    return simple.get(schema.get("type", ""), st.integers(1, 9))


def content_of(operation: Operation) -> st.SearchStrategy[tuple[str | None, Any]]:
    """The content type, and a value of its form."""
    described = operation.described.get("requestBody", {}).get("content", {})
    if not described:
        return st.just((None, None))
    return st.one_of(
        [st.tuples(st.just(kind), well_formed(item["schema"], operation.schemas)) for kind, item in described.items()],
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], oddity: Any) -> Any:
    if not path:
        return oddity
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], oddity)
    return copy


@st.composite
def requests(draw: st.DrawFn, operation: Operation, wrong: str) -> Exchange:
    """With mistakes in one place at most, so that it does not matter what is looked at first: who is calling, the path, or the rest."""
    path = operation.path
    for item in operation.parameters("path"):
        known = UUID if item["schema"].get("format") == "uuid" else "\xe9"
        segment = draw(st.sampled_from(SEGMENTS)) if wrong == "path" else known
        path = path.replace(f"{{{item['name']}}}", quote(segment, safe=""))
    headers = {"authorization": draw(st.sampled_from(CREDENTIALS)) if wrong == "who" else "Bearer admin", "tollgate-customer": "c"}
    if wrong == "who":
        headers["tollgate-customer"] = draw(st.sampled_from(["c", "", "x" * 256, "\xe9", "other"]))
    names = [item["name"] for item in operation.parameters("query")]
    query = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(TEXTS)), max_size=3)) if names and wrong == "rest" else []
    content_type, value = draw(content_of(operation))
    body = b"" if content_type is None else json.dumps(value).encode()
    if wrong == "rest":
        headers |= draw(st.sampled_from([{}, {"idempotency-key": "k"}, {"idempotency-key": ""}, {"idempotency-key": "\xe9"}]))
        body = draw(bodies(value))
        content_type = draw(st.sampled_from([content_type, content_type, *TYPES]))
    if content_type is not None:
        headers["content-type"] = content_type
    size = draw(st.sampled_from([len(body) or 1, 7])) if len(body) < 1000 else len(body)
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    target = path + "?" * bool(query) + "&".join(f"{name}={quote(text)}" for name, text in query)
    return Exchange(operation.method, target, headers, chunks)


@st.composite
def bodies(draw: st.DrawFn, value: Any) -> bytes:
    """JSON with another value somewhere, or with a byte too many or too few; or nothing; or too much."""
    kind = draw(st.sampled_from(["as it is", "changed", "changed", "changed", "broken", "nothing", "too much"]))
    if kind == "changed":
        value = changed(value, draw(st.sampled_from(places(value))), draw(oddities))
    body = json.dumps(value).encode()
    if kind == "broken":
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.binary(max_size=1)) + body[place + draw(st.integers(0, 1)) :]
    return {"nothing": b"", "too much": body + b" " * 65_536}.get(kind, body)
