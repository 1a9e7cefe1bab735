"""Finished work is never lost: a form that the OpenAPI document admits is booked, or refused with a reason that the document names."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.integration.coaching import Customer, days_ago
from tests.integration.contract import document, publish_everything
from tests.integration.service import Service, new_id

Body = dict[str, Any]

schema = schemathesis.openapi.from_dict(document)
every_form = settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
PARTS = {"sessions": 1, "api_calls": 1, "minutes": 60, "ai_cost": 1_000_000_000, "ai_runs": 1}
"""Metered features, and how many smallest parts make a unit."""
OF_CUSTOMER = "/api/v1/customers/{customer_id}"

NEEDED = {"customer_id", "data", "id", "items", "message_id", "mode", "source", "subject", "type", "usage"}
"""What finished work has to say here, also where the form allows to leave it out."""

quantities = (
    st.sampled_from([0, 1, 0.30000000000000004, 3.7e-10, 1e-300, 1830.4, 2.5, 59.99999999999999, -0.0, 10**6])
    | st.floats(0, 10**6)
    | st.integers(0, 10**6)
)
times = st.none() | st.floats(0, 34.9).map(lambda days: days_ago(days).isoformat())
texts = st.text() | st.sampled_from(["\x00", "a\ud800b", "\u00a0 : \u202e", "\r\n\t", "x" * 20_000, "😀" * 300, "\u2028", " "])
some_text = texts.filter(len)


def forms(path: str, media_type: str = "application/json") -> st.SearchStrategy[Body]:
    """All that the document admits at a route."""
    cases = schema[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    return cases.filter(lambda case: case.media_type == media_type and isinstance(case.body, dict)).map(lambda case: dict(case.body))


def amounts(length_min: int = 1) -> st.SearchStrategy[list[Body]]:
    fields = {"feature": st.sampled_from(sorted(PARTS)), "quantity": quantities}
    one = st.fixed_dictionaries(fields, optional={"dimension": st.none() | texts})
    return st.lists(one, min_size=length_min, max_size=4, unique_by=lambda amount: amount["feature"])


@dataclass(frozen=True)
class Route:
    """Where finished work is recorded. `meant` are values that make sense, in place of those that the document's form alone allows."""

    path: str
    meant: Mapping[str, st.SearchStrategy[Any]]
    booked: Callable[[Body], Mapping[str, Decimal | int]]
    """What the ledger has gained, in units."""
    begun: Callable[[Customer], str] = lambda customer: new_id()
    """Begins what the work is done for, and says its id."""
    finish: str | None = None
    """Where a further call says that nothing more follows."""
    media_type: str = "application/json"

    def __str__(self) -> str:
        return self.path

    def work(self) -> st.SearchStrategy[Body]:
        """Bodies of every form whose values make sense."""
        return st.tuples(forms(self.path, self.media_type), st.fixed_dictionaries(dict(self.meant))).map(
            lambda drawn: drawn[0] | {name: value for name, value in drawn[1].items() if name in drawn[0] or name in NEEDED}
        )

    def send(self, customer: Customer, id: str, body: Body) -> httpx.Response:
        url = self.path.format(customer_id=customer.id, id=id)
        content = json.dumps(body).replace("the customer", customer.id)  # json, since httpx cannot write half a surrogate pair
        return customer.backend.post(url, content=content, headers={"Content-Type": self.media_type})


def of_amounts(usage: list[Body] | None) -> Mapping[str, Decimal | int]:
    return {amount["feature"]: amount["quantity"] for amount in usage or ()}


def practising(customer: Customer) -> str:
    return customer.created()


def running(customer: Customer) -> str:
    body = {"id": new_id(), "feature": "scan", "estimated_cost": 0, "estimated_runs": 0}
    response = customer.backend.post("/api/v1/operations", json=body)
    id: str = response.json()["id"]
    return id


def holding(customer: Customer) -> str:
    body = {"usage": [{"feature": feature, "quantity": 1} for feature in PARTS]}
    response = customer.backend.post(f"/api/v1/customers/{customer.id}/reservations", json=body)
    id: str = response.json()["id"]
    return id


def of_step(body: Body) -> Mapping[str, Decimal | int]:
    return {"ai_cost": body["cost"], "ai_runs": int(body["billable_run"])}


step = {"id": st.uuids().map(str), "feature": some_text, "cost": quantities}
usage = {"usage": amounts(), "occurred_at": times, "reference": st.none() | some_text}
ROUTES = [
    Route(f"{OF_CUSTOMER}/usage", {**usage, "mode": st.just("record")}, lambda body: of_amounts(body["usage"])),
    Route(f"{OF_CUSTOMER}/reservations/{{id}}/commit", {"usage": amounts(0)}, lambda body: of_amounts(body["usage"]), holding),
    Route(
        "/api/v1/usage/batch",
        {
            "items": st.fixed_dictionaries(
                {"customer_id": st.just("the customer"), "mode": st.just("record"), "usage": amounts()},
                optional={"occurred_at": times, "reference": st.none() | some_text},
            ).map(lambda item: [item])
        },
        lambda body: of_amounts(body["items"][0]["usage"]),
    ),
    Route(
        "/api/v1/events",
        {
            "id": st.uuids().map(str),
            "source": st.just("a meter"),
            "type": st.sampled_from(sorted(PARTS)),
            "subject": st.just("the customer"),
            "time": times,
            "data": st.none() | st.fixed_dictionaries({"quantity": quantities}, optional={"dimension": st.none() | texts}),
        },
        lambda body: {body["type"]: body["data"]["quantity"] if body["data"] else 1},
        media_type="application/cloudevents+json",
    ),
    Route(
        "/api/v1/sessions/{id}/complete",
        {},
        lambda body: {"minutes": Decimal(Decimal(str(body["duration_seconds"])).to_integral_value(ROUND_HALF_EVEN)) / 60},
        practising,
    ),
    Route("/api/v1/sessions/{id}/fail", {"reason": texts}, lambda body: {"sessions": -1 if body.get("give_back") else 0}, practising),
    Route("/api/v1/operations/standalone", step, of_step),
    Route("/api/v1/operations/{id}/steps", step, of_step, running, "/api/v1/operations/{id}/complete"),
    Route(
        "/api/v1/messages",
        {"direction": st.just("inbound"), "counterparty": texts, "message_id": st.uuids().map(str), "sent_at": times},
        lambda body: {"conversations": 1},
    ),
    Route(
        "/api/v1/practice-sessions/save",
        {
            "id": st.uuids().map(str),
            "learning_plan_id": st.none(),
            "conversation_type": st.none() | some_text,
            "summary": st.none() | texts,
        },
        lambda body: {"practice_sessions": 1},
    ),
]
with_every_route = pytest.mark.parametrize("route", ROUTES, ids=str)


@pytest.fixture(scope="module")
def prepared(service: Service) -> Service:
    publish_everything(service)
    return service


@pytest.fixture(autouse=True)
def no_complaint(service: Service) -> Iterator[None]:
    before = len(service.errors)
    yield
    assert "ERROR" not in service.errors[before:]


def ledger(customer: Customer) -> Counter[str]:
    """What is booked, in smallest parts."""
    statement = "SELECT feature, sum(quantity)::bigint AS parts FROM usage_record WHERE customer_id = $1 GROUP BY feature"
    return Counter({row["feature"]: row["parts"] for row in customer.service.database.rows(statement, customer.id)})


def named(route: Route, status: int) -> set[str]:
    """The codes that the document lists for a status of the route."""
    described = document["paths"][route.path]["post"]["responses"].get(str(status), {})
    return set(described.get("content", {}).get("application/json", {}).get("examples", ()))


def accepted(response: httpx.Response) -> bool:
    """Of a list, what was answered about its one item."""
    assert response.status_code < 500, response.text
    match response.json():
        case {"results": [result]}:
            return bool(result["status"] < 400)
        case {"rejected": rejected}:
            return not rejected
    return response.is_success


@with_every_route
@every_form
@given(data=st.data())
def test_work_of_every_form_is_booked(route: Route, data: st.DataObject, prepared: Service) -> None:
    customer = Customer.new(prepared, "everything")
    body, id = data.draw(route.work()), route.begun(customer)
    before = ledger(customer)
    response = route.send(customer, id, body)
    assert accepted(response), (body, response.text)
    if route.finish:
        assert customer.backend.post(route.finish.format(id=id)).is_success
    gained = ledger(customer)
    gained.subtract(before)
    expected = {feature: in_parts(feature, quantity) for feature, quantity in route.booked(body).items()}
    assert {feature: parts for feature, parts in gained.items() if parts} == {
        feature: parts for feature, parts in expected.items() if parts
    }


@with_every_route
@every_form
@given(data=st.data())
def test_what_is_refused_is_refused_for_a_reason_that_the_document_names_and_books_nothing(
    route: Route, data: st.DataObject, prepared: Service
) -> None:
    customer = Customer.new(prepared, "everything")
    body, id = data.draw(forms(route.path, route.media_type)), route.begun(customer)
    before = ledger(customer)
    response = route.send(customer, id, body)
    if accepted(response):
        return
    assert ledger(customer) == before
    if response.is_success:  # a list, of which every item is answered for itself
        return
    detail = response.json()["detail"]
    if isinstance(detail, list):
        assert response.status_code == 422
        assert all(mistake["loc"][0] in ("body", "path") and mistake["msg"] for mistake in detail)
    else:
        assert detail["error"] in named(route, response.status_code), (body, detail)


def in_parts(feature: str, quantity: Decimal | float) -> int:
    return int((Decimal(str(quantity)) * PARTS.get(feature, 1)).to_integral_value(ROUND_HALF_EVEN))
