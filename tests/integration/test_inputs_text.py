"""Text in any script is text. What is none is refused where it can be put right, and mended where the work is done."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.coaching import Customer, days_ago
from tests.integration.service import ADMIN_KEY, Service, new_id

TEXTS = [
    "Bilan : semaine 3",
    "\u4f1a\u8bae\u3000\u7b2c\u4e09\u5468",
    "\U0001f469\u200d\U0001f4bb",
    "\u200f\u05e9\u05dc\u05d5\u05dd\u200e \u202babc\u202c",
    "a\u0301\u0323",
    "soft\u00adhyphen",
    "\ufeffwith a mark",
    "a\u2003b\u205fc",
    "\ue000\U000f0000\uffff",
    "   ",
    "\ufffd",
]
NO_LABELS = [
    "a\x00b",
    "a\nb",
    "a\tb",
    "a\r\nb",
    "\x1b[31mred",
    "a\x7fb",
    "a\x85b",
    "a\x9fb",
    "a\u2028b",
    "a\u2029b",
    "a\ud800b",
    "\udfff\ud800",
]
MENDED = ["a\ufffdb", "a b", "a b", "a b", "\ufffd[31mred", "a\ufffdb", "a b", "a\ufffdb", "a b", "a b", "a\ufffdb", "\ufffd\ufffd"]
NO_PROSE = ["a\x00b", "\x1b[31mred", "a\x0bb", "a\x7fb", "a\x85b", "a\x9fb", "a\ud800b", "\udfff\ud800"]
MENDED_PROSE = ["a\ufffdb", "\ufffd[31mred", "a\ufffdb", "a\ufffdb", "a\ufffdb", "a\ufffdb", "a\ufffdb", "\ufffd\ufffd"]
LINES = "one\r\n\ttwo\nthree\u2028four"

PLAN = "text"


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    features = ("sessions", "minutes", "practice_sessions", "assessments", "ai_runs", "ai_cost")
    entitlements = {feature: {"type": "metered", "limit": None} for feature in features} | {
        "max_file_size_mb": {"type": "static", "value": 60}
    }
    assert service.admin.put(f"/api/v1/plans/{PLAN}", json={"entitlements": entitlements}).is_success
    return Customer.new(service, PLAN)


def post(customer: Customer, path: str, body: Any, content_type: str = "application/json") -> httpx.Response:
    client = customer.service.key(ADMIN_KEY, customer.id)
    return client.post(f"/api/v1/{path}", content=json.dumps(body), headers={"Content-Type": content_type})


def of_customer(customer: Customer, path: str, body: Any) -> httpx.Response:
    return post(customer, f"customers/{customer.id}/{path}", body)


def latest(customer: Customer) -> dict[str, Any]:
    entry: dict[str, Any] = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage/records?limit=1").json()["items"][0]
    return entry


def amount(text: str | None = None) -> dict[str, Any]:
    return {"feature": "sessions", "quantity": 1} | ({"dimension": text} if text is not None else {})


def held(customer: Customer) -> str:
    id: str = of_customer(customer, "reservations", {"usage": [amount()]}).json()["id"]
    return id


Put = Callable[[Customer, str], httpx.Response]

# Before the work is done. The second of each pair is what is shown afterwards.

Show = Callable[[Customer, httpx.Response], Any]

TO_BE_ADMITTED: dict[str, tuple[Put, Show]] = {
    "a title": (
        lambda customer, text: post(customer, "sessions", {"title": text, "language": "en"}),
        lambda customer, response: response.json()["title"],
    ),
    "a reference": (
        lambda customer, text: of_customer(customer, "usage", {"usage": [amount()], "reference": text}),
        lambda customer, response: latest(customer)["reference"],
    ),
    "a dimension": (
        lambda customer, text: of_customer(customer, "usage", {"usage": [amount(text)]}),
        lambda customer, response: latest(customer)["dimension"],
    ),
    "a reservation's reference": (
        lambda customer, text: of_customer(customer, "reservations", {"usage": [amount()], "reference": text}),
        lambda customer, response: response.json()["reference"],
    ),
    "an operation's feature": (
        lambda customer, text: post(customer, "operations", {"feature": text}),
        lambda customer, response: response.json()["feature"],
    ),
    "a learning plan's level": (
        lambda customer, text: post(
            customer, "learning-plans", {"language": "de", "level": text, "total_sessions": 1, "sessions_per_week": 1}
        ),
        lambda customer, response: response.json()["level"],
    ),
    "an assessment's kind": (
        lambda customer, text: post(customer, "assessments", {"kind": text}),
        lambda customer, response: response.json()["kind"],
    ),
    "a plan's name": (
        lambda customer, text: customer.service.admin.put(
            f"/api/v1/plans/{new_id('p')}",
            content=json.dumps({"name": text, "entitlements": {}}),
            headers={"Content-Type": "application/json"},
        ),
        lambda customer, response: response.json()["name"],
    ),
}

before = pytest.mark.parametrize(("put", "show"), TO_BE_ADMITTED.values(), ids=TO_BE_ADMITTED)


@before
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_in_any_script_is_text(customer: Customer, put: Put, show: Show, text: str) -> None:
    response = put(customer, text)
    assert response.is_success, response.text
    assert show(customer, response) == text


@before
@pytest.mark.parametrize("text", NO_LABELS, ids=ascii)
def test_control_characters_and_halves_of_characters_are_refused_beforehand(customer: Customer, put: Put, show: Show, text: str) -> None:
    assert put(customer, text).status_code == 422


# When it is done.


def failed(customer: Customer, text: str) -> httpx.Response:
    return post(customer, f"sessions/{customer.created()}/fail", {"reason": text})


def stepped(customer: Customer, text: str) -> httpx.Response:
    id = post(customer, "operations", {"feature": "scan"}).json()["id"]
    return post(customer, f"operations/{id}/steps", {"feature": text, "cost": 0.01, "billable_run": True})


def event(customer: Customer, text: str) -> httpx.Response:
    body = {"specversion": "1.0", "id": new_id("e"), "source": "meter", "type": "sessions", "subject": customer.id}
    data = {"quantity": 1, "dimension": text}
    response = post(customer, "events", body | {"data": data}, "application/cloudevents+json")
    assert response.json().get("rejected") == [], response.text
    return response


def batched(customer: Customer, text: str) -> httpx.Response:
    item = {"customer_id": customer.id, "usage": [amount()], "mode": "record", "reference": text}
    response = post(customer, "usage/batch", {"items": [item]})
    assert response.json()["results"][0]["status"] == 200, response.text
    return response


DONE: dict[str, tuple[Put, Show, int]] = {
    "a kind of practice": (
        lambda customer, text: post(customer, "practice-sessions/save", {"duration_seconds": 1, "conversation_type": text}),
        lambda customer, response: response.json()["practice_session"]["conversation_type"],
        64,
    ),
    "a step": (stepped, lambda customer, response: response.json()["step"]["feature"], 64),
    "a standalone operation": (
        lambda customer, text: post(customer, "operations/standalone", {"feature": text, "cost": 0.01, "billable_run": True}),
        lambda customer, response: response.json()["steps"][0]["feature"],
        64,
    ),
    "an event's dimension": (event, lambda customer, response: latest(customer)["dimension"], 64),
    "a reference of recorded usage": (
        lambda customer, text: of_customer(customer, "usage", {"usage": [amount()], "mode": "record", "reference": text}),
        lambda customer, response: latest(customer)["reference"],
        255,
    ),
    "a dimension of recorded usage": (
        lambda customer, text: of_customer(customer, "usage", {"mode": "record", "usage": [amount(text)]}),
        lambda customer, response: latest(customer)["dimension"],
        64,
    ),
    "a reference in a batch": (batched, lambda customer, response: latest(customer)["reference"], 255),
    "a commit's dimension": (
        lambda customer, text: of_customer(customer, f"reservations/{held(customer)}/commit", {"usage": [amount(text)]}),
        lambda customer, response: latest(customer)["dimension"],
        64,
    ),
}
DONE_IN_PROSE: dict[str, tuple[Put, Show, int]] = {
    "a reason": (failed, lambda customer, response: response.json()["failure_reason"], 10_000),
    "a summary": (
        lambda customer, text: post(customer, "practice-sessions/save", {"duration_seconds": 1, "summary": text}),
        lambda customer, response: response.json()["practice_session"]["summary"],
        10_000,
    ),
}

done = pytest.mark.parametrize(("put", "show", "length_max"), DONE.values(), ids=DONE)
done_in_prose = pytest.mark.parametrize(("put", "show", "length_max"), DONE_IN_PROSE.values(), ids=DONE_IN_PROSE)
all_done = pytest.mark.parametrize(("put", "show", "length_max"), (DONE | DONE_IN_PROSE).values(), ids=DONE | DONE_IN_PROSE)


def shown(customer: Customer, put: Put, show: Show, text: str) -> Any:
    response = put(customer, text)
    assert response.is_success, response.text
    return show(customer, response)


@all_done
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_in_any_script_is_kept_as_it_is(customer: Customer, put: Put, show: Show, length_max: int, text: str) -> None:
    assert shown(customer, put, show, text) == text


@done
@pytest.mark.parametrize(("text", "kept"), list(zip(NO_LABELS, MENDED, strict=True)), ids=ascii)
def test_a_finished_works_label_is_mended(customer: Customer, put: Put, show: Show, length_max: int, text: str, kept: str) -> None:
    assert shown(customer, put, show, text) == kept


@done_in_prose
@pytest.mark.parametrize(("text", "kept"), [*zip(NO_PROSE, MENDED_PROSE, strict=True), (LINES, LINES), ("", "")], ids=ascii)
def test_a_finished_works_prose_is_mended(customer: Customer, put: Put, show: Show, length_max: int, text: str, kept: str) -> None:
    assert shown(customer, put, show, text) == kept


@all_done
@pytest.mark.parametrize("letter", ["x", "\U0001f600"], ids=ascii)
def test_what_is_too_long_is_cut_and_marked(customer: Customer, put: Put, show: Show, length_max: int, letter: str) -> None:
    assert shown(customer, put, show, letter * length_max) == letter * length_max
    assert shown(customer, put, show, letter * (length_max + 1)) == letter * (length_max - 1) + "…"
    assert shown(customer, put, show, letter * length_max * 8) == letter * (length_max - 1) + "…"


@pytest.mark.parametrize("kind", [kind for kind in DONE if kind not in ("a step", "a standalone operation")])
def test_an_empty_label_is_none(customer: Customer, kind: str) -> None:
    put, show, _ = DONE[kind]
    assert shown(customer, put, show, "") is None


def test_a_mended_text_is_the_same_when_it_comes_again(customer: Customer) -> None:
    body = {"id": new_id("p"), "duration_seconds": 1, "summary": "a\x00b" + "x" * 20_000}
    assert [post(customer, "practice-sessions/save", body).status_code for _ in range(2)] == [201, 200]


def test_what_one_event_is_to_blame_for_does_not_refuse_the_others(customer: Customer) -> None:
    common = {"specversion": "1.0", "source": "meter", "type": "sessions", "subject": customer.id}
    ids = [new_id("e") for _ in range(4)]
    events: list[dict[str, Any]] = [
        common | {"id": ids[0], "data": {"quantity": 1, "dimension": "\ud800"}},
        common | {"id": ids[1] + "\ud800"},
        common | {"id": ids[2], "data": {"quantity": float("nan")}},
        common | {"id": ids[3], "time": days_ago(0).isoformat()},
    ]
    answer = post(customer, "events", events, "application/cloudevents-batch+json").json()
    assert (answer["accepted"], [item["index"] for item in answer["rejected"]]) == (2, [1, 2])


def test_prose_that_is_not_about_finished_work_is_refused(customer: Customer) -> None:
    record = of_customer(customer, "usage", {"usage": [amount()]}).json()["records"][0]["id"]
    path = f"usage/records/{record}/corrections"
    for reason in [*NO_PROSE, "", "x" * 10_001]:
        assert of_customer(customer, path, {"quantity": 1, "reason": reason}).status_code == 422
    corrected = of_customer(customer, path, {"quantity": 1, "reason": LINES})
    assert (corrected.status_code, corrected.json()["reason"]) == (201, LINES)
