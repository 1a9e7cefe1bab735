"""Customers, their billing periods, plans and features over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.coaching import Customer, at_once
from tests.integration.service import Service, new_id, refused

NOW = datetime.now(UTC)  # noqa: TID251
METERED = {"type": "metered", "limit": 10, "reset": "billing_period", "enforcement": "hard"}


@pytest.fixture
def key() -> str:
    """Of a plan or a feature that does not exist yet."""
    return f"k{uuid4().hex[:12]}"


def put(service: Service, id: str, **body: object) -> httpx.Response:
    return service.admin.put(f"/api/v1/customers/{id}", json=body)


def put_plan(service: Service, key: str, name: str = "Own", **entitlements: object) -> httpx.Response:
    return service.admin.put(f"/api/v1/plans/{key}", json={"name": name, "entitlements": entitlements})


def form(response: httpx.Response) -> list[Any]:
    """Where a request's structure is mistaken."""
    assert response.status_code == 422, response.text
    detail = response.json()["detail"]
    assert isinstance(detail, list)
    return [item["loc"] for item in detail]


def test_a_customer_is_created_replaced_and_read(service: Service) -> None:
    id = new_id()
    created = put(service, id, plan="free", billing_anchor=None)
    assert created.status_code == 201
    assert created.json() == {
        "customer_id": id,
        "plan": "free",
        "plan_version": 1,
        "billing_anchor": None,
        "billing_interval": "month",
        "billing_interval_count": 1,
        "time_zone": "UTC",
        "week_starts_on": "monday",
        "phone_region": None,
        "email": None,
        "locale": None,
        "period": {"start": None, "end": None},
        "scheduled": None,
        "addons": {},
    }
    body = {"plan": "pro", "billing_anchor": "2026-11-01T01:00:00+01:00", "billing_interval": "year", "time_zone": "Europe/Vienna"}
    replaced = put(service, id, **body, phone_region="AT")
    assert replaced.status_code == 200
    told = replaced.json()
    assert (told["plan"], told["billing_anchor"], told["billing_interval"]) == ("pro", "2026-11-01T00:00:00Z", "year")
    assert (told["time_zone"], told["phone_region"]) == ("Europe/Vienna", "AT")
    assert service.admin.get(f"/api/v1/customers/{id}").json() == told
    assert put(service, id, plan="pro", billing_anchor=None).json()["billing_anchor"] is None


def test_a_patch_changes_what_it_names_and_nothing_else(service: Service) -> None:
    id = new_id()
    before = put(service, id, plan="free", billing_anchor="2026-10-31T00:00:00Z", time_zone="Asia/Tokyo", phone_region="JP").json()
    for change in (
        {"phone_region": None},
        {"plan": "pro"},
        {"billing_interval": "week"},
        {"time_zone": "UTC"},
        {"billing_anchor": None},
        {},
    ):
        response = service.admin.patch(f"/api/v1/customers/{id}", json=change)
        assert response.status_code == 200
        after = response.json()
        before |= change
        assert {**after, "period": None} == {**before, "period": None}


def test_an_unknown_customer_is_neither_read_nor_patched(service: Service) -> None:
    path = f"/api/v1/customers/{new_id()}"
    refused(service.admin.get(path), 404, "customer_not_found")
    refused(service.admin.patch(path, json={"plan": "pro"}), 404, "customer_not_found")


def test_an_unknown_plan_is_not_found_and_changes_nothing(service: Service) -> None:
    id = new_id()
    refused(put(service, id, plan="gold"), 404, "plan_not_found")
    refused(service.admin.get(f"/api/v1/customers/{id}"), 404, "customer_not_found")
    put(service, id, plan="free")
    refused(service.admin.patch(f"/api/v1/customers/{id}", json={"plan": "gold"}), 404, "plan_not_found")
    assert service.admin.get(f"/api/v1/customers/{id}").json()["plan"] == "free"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "Europe", "europe/vienna\n", "x" * 255])
def test_an_unknown_time_zone_is_refused(service: Service, name: str) -> None:
    assert put(service, new_id(), plan="free", time_zone=name).status_code == 422


def test_an_unknown_time_zone_is_named(service: Service) -> None:
    assert refused(put(service, new_id(), plan="free", time_zone="Mars/Olympus"), 422, "invalid_time_zone")["time_zone"] == "Mars/Olympus"


def test_what_makes_no_customer_is_told_by_its_place(service: Service) -> None:
    for body, place in (
        ({}, "plan"),
        ({"plan": "free", "colour": "red"}, "colour"),
        ({"plan": "free", "billing_anchor": "2026-11-01T00:00:00"}, "billing_anchor"),
        ({"plan": "free", "billing_anchor": 1_700_000_000}, "billing_anchor"),
        ({"plan": "free", "billing_interval": "fortnight"}, "billing_interval"),
        ({"plan": "free", "phone_region": 43}, "phone_region"),
    ):
        assert form(put(service, new_id(), **body)) == [["body", place]]
    refused(put(service, new_id(), plan="free", billing_anchor="9999-12-31T23:59:59Z"), 422, "invalid_billing_anchor")
    refused(put(service, new_id(), plan="free", phone_region="Austria"), 422, "invalid_phone_region")


@pytest.mark.parametrize("interval", ["day", "week", "month", "year"])
def test_the_period_contains_now_and_is_one_interval_long(service: Service, interval: str) -> None:
    told = put(service, new_id(), plan="free", billing_anchor="2024-02-29T23:30:00Z", billing_interval=interval, time_zone="UTC").json()
    start, end = (datetime.fromisoformat(told["period"][bound]) for bound in ("start", "end"))
    assert start <= NOW < end
    days = {"day": (1, 1), "week": (7, 7), "month": (28, 31), "year": (365, 366)}[interval]
    assert timedelta(days=days[0]) <= end - start <= timedelta(days=days[1])
    assert (start.hour, start.minute) == (23, 30)


def test_a_period_follows_the_customers_own_wall_clock(service: Service) -> None:
    told = put(service, new_id(), plan="free", billing_anchor="2026-01-14T23:00:00Z", time_zone="Europe/Vienna", billing_interval="year")
    assert told.json()["period"] == {"start": "2026-01-14T23:00:00Z", "end": "2027-01-14T23:00:00Z"}
    summer = put(service, new_id(), plan="free", billing_anchor="2026-07-14T22:00:00Z", time_zone="Europe/Vienna", billing_interval="month")
    start = datetime.fromisoformat(summer.json()["period"]["start"])
    assert start.day in (13, 14)


def test_an_id_is_whatever_text_its_customer_is_known_by(service: Service) -> None:
    for id in ("a b", "ünïcode", "x" * 255, "a/b", "50%", "a?b#c", "'; DROP TABLE customer; --", "😀"):
        path = f"/api/v1/customers/{httpx.QueryParams({'id': id}).get('id')}" if id.isalnum() else f"/api/v1/customers/{quoted(id)}"
        response = service.admin.put(path, json={"plan": "free"})
        assert response.status_code in (200, 201), response.text
        assert response.json()["customer_id"] == id


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_a_plan_is_published_and_read(service: Service, key: str) -> None:
    entitlements = {
        "sessions": METERED,
        "minutes": METERED | {"limit": 0.5, "reset": "month", "enforcement": "soft"},
        "conversations": METERED | {"limit": None, "reset": "never"},
        "max_file_size_mb": {"type": "static", "value": 12.5},
        "exports": {"type": "boolean", "enabled": False},
    }
    response = put_plan(service, key, **entitlements)
    assert response.status_code == 201
    assert response.json() == {"key": key, "version": 1, "name": "Own", "entitlements": entitlements}
    assert service.admin.get(f"/api/v1/plans/{key}").json() == response.json()
    assert response.json() in service.admin.get("/api/v1/plans").json()["items"]


def test_reset_and_enforcement_have_defaults(service: Service, key: str) -> None:
    assert put_plan(service, key, sessions={"type": "metered", "limit": 10}).json()["entitlements"] == {"sessions": METERED}


def test_an_unchanged_plan_is_no_new_version_and_a_changed_one_is(service: Service, key: str) -> None:
    assert [put_plan(service, key, sessions=METERED).status_code for _ in range(3)] == [201, 200, 200]
    changed = put_plan(service, key, sessions=METERED | {"limit": 11})
    assert (changed.status_code, changed.json()["version"]) == (201, 2)
    renamed = put_plan(service, key, "Renamed", sessions=METERED | {"limit": 11})
    assert (renamed.status_code, renamed.json()["version"]) == (201, 3)
    stored = service.database.rows("SELECT version, entitlements FROM plan_version WHERE plan_key = $1 ORDER BY version", key)
    assert [row["version"] for row in stored] == [1, 2, 3]
    assert '"limit": 10' in stored[0]["entitlements"]


def test_a_customer_stays_on_the_version_that_it_was_put_on_until_a_plan_is_named_again(service: Service, key: str) -> None:
    put_plan(service, key, sessions=METERED | {"limit": 1}, minutes=METERED)
    customer = Customer.new(service, key)
    customer.created()
    put_plan(service, key, sessions=METERED | {"limit": 2}, minutes=METERED)
    assert refused(customer.create(), 403, "session_limit_exceeded")["limit"] == 1
    customer.moves_to(key)
    assert service.admin.get(f"/api/v1/customers/{customer.id}").json()["plan_version"] == 2
    customer.created()


def test_publishers_at_once_never_make_two_of_one_version(service: Service, key: str) -> None:
    responses = at_once(*[lambda n=n: put_plan(service, key, sessions=METERED | {"limit": n}) for n in range(10)])
    published = [response.json()["version"] for response in responses if response.status_code == 201]
    assert sorted(published) == list(range(1, len(published) + 1))
    for response in responses:
        if response.status_code != 201:
            refused(response, 409, "plan_version_conflict")


def test_publishers_of_the_same_content_at_once_all_succeed(service: Service, key: str) -> None:
    responses = at_once(*[lambda: put_plan(service, key, sessions=METERED)] * 10)
    assert sorted(response.status_code for response in responses) == [200] * 9 + [201]


@pytest.mark.parametrize(
    ("entitlements", "path"),
    [
        ({"sessions": METERED | {"limit": -1}}, "entitlements.sessions.limit"),
        ({"sessions": METERED | {"limit": 0.5}}, "entitlements.sessions.limit"),
        ({"sessions": METERED | {"limit": 1e300}}, "entitlements.sessions.limit"),
        ({"undeclared": METERED}, "entitlements.undeclared"),
        ({"Sessions": METERED}, "entitlements.Sessions"),
        ({"max_file_size_mb": {"type": "static", "value": 1e300}}, "entitlements.max_file_size_mb.value"),
    ],
)
def test_a_mistaken_plan_is_refused_by_its_path(service: Service, key: str, entitlements: dict[str, object], path: str) -> None:
    assert refused(put_plan(service, key, **entitlements), 422, "invalid_plan")["path"] == path
    refused(service.admin.get(f"/api/v1/plans/{key}"), 404, "plan_not_found")


@pytest.mark.parametrize(
    "entitlement",
    [
        {"type": "metered"},
        {"type": "metered", "limit": "10"},
        {"type": "metered", "limit": True},
        METERED | {"reset": "fortnight"},
        METERED | {"enforcement": "gentle"},
        METERED | {"limits": 3},
        {"type": "boolean", "enabled": "yes"},
        {"type": "static"},
        {"type": "magic"},
        {"limit": 10},
        None,
        10,
    ],
    ids=str,
)
def test_what_is_no_entitlement_is_told_by_its_place(service: Service, key: str, entitlement: object) -> None:
    (place,) = form(put_plan(service, key, sessions=entitlement))
    assert place[:3] == ["body", "entitlements", "sessions"]


@pytest.mark.parametrize("bad", ["Pro", "1st", "pro plan", "x" * 65, "prö"])
def test_a_plans_key_is_plain(service: Service, bad: str) -> None:
    assert put_plan(service, quoted(bad), sessions=METERED).status_code == 422
    assert service.admin.get(f"/api/v1/plans/{quoted(bad)}").status_code in (404, 422)


def test_a_feature_is_declared_once_and_for_all(service: Service, key: str) -> None:
    path = f"/api/v1/features/{key}"
    refused(put_plan(service, "with-own-feature", **{key: METERED}), 422, "invalid_plan")
    declared = service.admin.put(path, json={"unit": "GB", "resolution": 1000})
    assert (declared.status_code, declared.json()) == (201, {"key": key, "unit": "GB", "resolution": 1000, "on_outage": "refuse"})
    assert service.admin.put(path, json={"unit": "GB", "resolution": 1000}).status_code == 200
    for change in ({"unit": "GB"}, {"unit": "MB", "resolution": 1000}):
        detail = refused(service.admin.put(path, json=change), 409, "feature_conflict")
        assert (detail["feature"], detail["unit"], detail["resolution"]) == (key, "GB", 1000)
    assert put_plan(service, f"{key}-plan", **{key: METERED | {"limit": 0.125}}).json()["entitlements"][key]["limit"] == 0.125


def test_what_is_done_on_an_outage_may_be_chosen_anew_of_a_built_in_feature_too(service: Service, key: str) -> None:
    for path, unit in ((f"/api/v1/features/{key}", {"unit": "call"}), ("/api/v1/features/minutes", {"unit": "minute", "resolution": 60})):
        for said, holds in (({}, "refuse"), ({"on_outage": "admit"}, "admit"), ({}, "admit"), ({"on_outage": "refuse"}, "refuse")):
            answered = service.admin.put(path, json=unit | said)
            assert answered.status_code in (200, 201)
            assert answered.json()["on_outage"] == holds
    form(service.admin.put(f"/api/v1/features/{key}", json={"unit": "call", "on_outage": "maybe"}))


def test_a_built_in_feature_cannot_be_declared_otherwise(service: Service) -> None:
    assert service.admin.put("/api/v1/features/minutes", json={"unit": "minute", "resolution": 60}).status_code == 200
    refused(service.admin.put("/api/v1/features/minutes", json={"unit": "minute"}), 409, "feature_conflict")


def test_what_makes_no_feature_is_refused(service: Service, key: str) -> None:
    for body in ({"unit": "GB", "resolution": 0}, {"unit": "GB", "resolution": 10**9 + 1}, {"unit": "a\nb"}):
        refused(service.admin.put(f"/api/v1/features/{key}", json=body), 422, "invalid_feature")
    for body in ({}, {"unit": ""}, {"unit": "GB", "resolution": 1.5}, {"unit": "GB", "resolution": "1"}):
        form(service.admin.put(f"/api/v1/features/{key}", json=body))


def test_all_who_declare_a_feature_at_once_get_the_same_answer(service: Service, key: str) -> None:
    declare = lambda: service.admin.put(f"/api/v1/features/{key}", json={"unit": "call"})  # noqa: E731
    responses = at_once(*[declare] * 10)
    assert {response.status_code for response in responses} <= {200, 201}
    assert len({response.text for response in responses}) == 1
