"""Events in every form that CloudEvents have, and events of types that are mapped to features: booked, or rejected with a reason."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.commands import plans
from api.commands.database import container
from api.settings import Settings
from tests.integration.coaching import Customer
from tests.integration.service import Service, new_id, refused

ONE = {"Content-Type": "application/cloudevents+json"}
JSON = {"Content-Type": "application/json"}
PLANS = """
features:
  prompt_tokens: {unit: token}
  prompts: {unit: request}
meters:
  prompt:
    - {feature: prompt_tokens, quantity: data.usage.total, dimension: data.model}
    - {feature: prompts}
plans:
  talker:
    entitlements:
      prompt_tokens: {type: metered, limit: 1000}
      prompts: {type: metered, limit: 5}
"""


def event(customer: Customer, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": new_id(), "source": "gateway", "type": "ai_runs", "subject": customer.id} | attributes


def send(service: Service, content: Any, headers: dict[str, str] = JSON) -> dict[str, Any]:
    answer: httpx.Response = service.admin.post("/api/v1/events", json=content, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rejection(service: Service, content: dict[str, Any]) -> str:
    answer = send(service, content)
    assert (answer["accepted"], answer["duplicates"]) == (0, 0)
    (rejected,) = answer["rejected"]
    assert (rejected["index"], rejected["id"], rejected["error"]) == (0, content["id"], "invalid_event")
    message: str = rejected["message"]
    return message


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    return Customer.new(service, "premium")


@pytest.fixture(scope="module")
def talker(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Customer:
    push(service, tmp_path_factory.mktemp("plans") / "plans.yaml", PLANS)
    return Customer.new(service, "talker")


def push(service: Service, file: Path, text: str) -> list[plans.Change]:
    file.write_text(text)

    async def pushed() -> list[plans.Change]:
        async with container(Settings(database_url=service.database.url)) as made:
            return await plans.push(made, file)

    return asyncio.run(pushed())


def test_an_event_without_data_is_one_unit(customer: Customer, service: Service) -> None:
    before = used(customer, "ai_runs")
    assert send(service, event(customer))["accepted"] == 1
    assert send(service, event(customer, data=None))["accepted"] == 1
    assert used(customer, "ai_runs") == before + 2


@pytest.mark.parametrize("data", [{}, {"tokens": 500}, {"Quantity": 1}, {"dimension": "eu"}])
def test_data_that_say_no_quantity_are_no_unit(customer: Customer, service: Service, data: Any) -> None:
    before = used(customer, "ai_runs")
    assert rejection(service, event(customer, data=data)) == "data.quantity: Field required"
    assert used(customer, "ai_runs") == before


def test_data_in_base64_are_rejected_with_what_to_send(customer: Customer, service: Service) -> None:
    assert "send JSON in data" in rejection(service, event(customer, data_base64="eyJxdWFudGl0eSI6IDV9"))


def test_plain_json_is_one_event_or_a_list_of_them(customer: Customer, service: Service) -> None:
    before = used(customer, "ai_runs")
    assert send(service, event(customer, data={"quantity": 2}))["accepted"] == 1
    assert send(service, [event(customer), event(customer, data={"quantity": 3})])["accepted"] == 2
    assert used(customer, "ai_runs") == before + 6
    refused(service.admin.post("/api/v1/events", json=[], headers=JSON), 422, "invalid_request")


def test_binary_mode_has_the_attributes_in_headers_and_the_data_in_the_body(customer: Customer, service: Service) -> None:
    before = used(customer, "ai_runs")
    id = new_id()
    headers = {f"ce-{name}": value for name, value in event(customer, id=id, source="g%C3%A4te%20way").items()}
    for _ in range(2):
        answer = service.admin.post("/api/v1/events", json={"quantity": 4}, headers=headers)
        assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (0, 1)
    empty = service.admin.post("/api/v1/events", headers=headers | {"ce-id": new_id()})
    assert empty.json()["accepted"] == 1, empty.text
    assert used(customer, "ai_runs") == before + 5
    (record,) = [found for found in records(customer) if found["event_id"] == id]
    assert record["source"] == "gäte way"


def test_ids_in_headers_that_are_not_utf8_are_refused_and_not_made_one(customer: Customer, service: Service) -> None:
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-source": "x",
        "ce-type": "ai_runs",
        "ce-subject": customer.id,
    }
    before = used(customer, "ai_runs")
    for id in ("x%ff", "x%fe"):
        refused(service.admin.post("/api/v1/events", headers=headers | {"ce-id": id}), 422, "invalid_request")
    assert used(customer, "ai_runs") == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_of_its_encodings_is_read(customer: Customer, service: Service, encoding: str) -> None:
    content = json.dumps(event(customer)).encode(encoding)
    answer = service.admin.post("/api/v1/events", content=content, headers=ONE)
    assert answer.json()["accepted"] == 1, answer.text


def test_a_number_of_five_thousand_digits_refuses_its_own_event_only(customer: Customer, service: Service) -> None:
    good, endless = event(customer), event(customer)
    content = json.dumps([good, endless | {"data": {"quantity": "NUMBER"}}]).replace('"NUMBER"', "9" * 5000)
    answer = service.admin.post("/api/v1/events", content=content, headers={"Content-Type": "application/json"}).json()
    assert (answer["accepted"], [rejected["id"] for rejected in answer["rejected"]]) == (1, [endless["id"]])
    usage = '{"usage": [{"feature": "ai_runs", "quantity": ' + "9" * 5000 + '}], "mode": "record"}'
    answer = service.admin.post(f"/api/v1/customers/{customer.id}/usage", content=usage, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "usage", 0, "quantity"]


def test_other_content_is_told_what_is_taken(service: Service) -> None:
    answer = service.admin.post("/api/v1/events", content=b"quantity=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert "application/cloudevents+json" in refused(answer, 415, "unsupported_media_type")["message"]


def test_a_list_that_is_sent_as_one_event_is_told_how_lists_are_sent(customer: Customer, service: Service) -> None:
    answer = service.admin.post("/api/v1/events", json=[event(customer)], headers=ONE)
    assert answer.status_code == 422
    assert "application/cloudevents-batch+json" in answer.text


def test_an_event_of_a_mapped_type_is_booked_to_all_of_its_features(talker: Customer, service: Service) -> None:
    sent = event(talker, type="prompt", data={"usage": {"total": 512}, "model": "large"})
    assert send(service, sent)["accepted"] == 1
    assert send(service, sent)["duplicates"] == 1
    assert (used(talker, "prompt_tokens"), used(talker, "prompts")) == (512, 1)
    found = [(record["feature"], record["quantity"], record["dimension"], record["reference"]) for record in records(talker)]
    assert sorted(found) == [("prompt_tokens", 512, "large", sent["id"]), ("prompts", 1, None, sent["id"])]


def test_an_event_that_lacks_what_one_meter_looks_for_is_booked_to_none(talker: Customer, service: Service) -> None:
    before = (used(talker, "prompt_tokens"), used(talker, "prompts"))
    wrong = event(talker, type="prompt", data={"usage": {"totals": 512}})
    assert rejection(service, wrong) == "data.usage.total: nothing is there, and a number is expected"
    assert send(service, wrong | {"data": {"usage": {"total": -1}}})["rejected"][0]["error"] == "invalid_quantity"
    assert (used(talker, "prompt_tokens"), used(talker, "prompts")) == before


def test_a_new_mapping_holds_for_the_next_event(talker: Customer, services: tuple[Service, Service], tmp_path: Path) -> None:
    kind = new_id("type")
    mapping = PLANS.replace("prompt:", f"{kind}:").replace("- {feature: prompts}", "- {feature: prompts, quantity: 2}")
    for service in services:
        assert (
            "neither a declared metered feature nor an event type"
            in send(service, event(talker, type=kind, data={"quantity": 1}))["rejected"][0]["message"]
        )
    changes = push(services[0], tmp_path / "plans.yaml", mapping)
    assert [(change.key, change.kind) for change in changes] == [("talker", "unchanged"), (f"meters of {kind!r}", "new")]
    before = used(talker, "prompts")
    for service in services:
        assert send(service, event(talker, type=kind, data={"usage": {"total": 1}}))["accepted"] == 1
    assert used(talker, "prompts") == before + 4
    assert push(services[0], tmp_path / "plans.yaml", mapping)[1].kind == "unchanged"
    gone = mapping[: mapping.index("    - ")] + mapping[mapping.index("plans:") :]
    assert push(services[0], tmp_path / "plans.yaml", gone.replace(f"{kind}:", f"{kind}: []"))[1].kind == "changed"
    assert send(service, event(talker, type=kind, data={"quantity": 1}))["accepted"] == 0


def used(customer: Customer, feature: str) -> float:
    answer = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage")
    found: float = answer.json()["features"][feature]["used"]
    return found


def records(customer: Customer) -> list[dict[str, Any]]:
    answer = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage/records")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
